"""Venue credentials: where they lie, how both halves are read, how they are replaced."""
