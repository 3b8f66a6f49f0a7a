"""Drills of the kill switch."""
