"""The objects of a runner."""
