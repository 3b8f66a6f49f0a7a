"""What the decisions see of the world."""
