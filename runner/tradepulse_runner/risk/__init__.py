"""The last gate before the venue, and the limits that it asks."""
