"""The runner's Lease: pure decisions, the API, and the writer that keeps it."""
