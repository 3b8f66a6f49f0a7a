"""Uploads backups and incident reports to the object store."""
