"""Generates what is committed: CRDs, the API reference."""
