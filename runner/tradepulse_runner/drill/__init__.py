"""The kill-switch drill and its report."""
