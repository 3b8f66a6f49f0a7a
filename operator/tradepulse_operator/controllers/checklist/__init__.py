"""What must hold before a cutover touches anything."""
