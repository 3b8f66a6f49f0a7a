"""Everything that is asked or told over a network."""
