"""Desired children, as manifests. Pure."""
