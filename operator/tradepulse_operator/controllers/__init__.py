"""The decisions. Pure."""
