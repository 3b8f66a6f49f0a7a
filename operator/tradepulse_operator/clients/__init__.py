"""Everything that is read or written over a network."""
