"""Files that survive a crash: snapshots, lock, spool, secrets that are replaced."""
