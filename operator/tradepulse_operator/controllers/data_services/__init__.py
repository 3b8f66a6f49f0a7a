"""Event bus and database, compared with the baseline."""
