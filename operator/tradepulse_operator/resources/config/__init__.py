"""A release's configuration, as text."""
