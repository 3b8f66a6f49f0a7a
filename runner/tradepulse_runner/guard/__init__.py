"""Service levels judged from inside the process."""
