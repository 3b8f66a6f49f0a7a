"""Custom resource → desired children. Pure: one builder a file."""
