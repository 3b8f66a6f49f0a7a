"""The incident bundle."""
