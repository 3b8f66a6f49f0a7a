"""The object store, where backups and incident reports are copied to."""
