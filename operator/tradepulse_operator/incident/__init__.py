"""The incident report. Pure."""
