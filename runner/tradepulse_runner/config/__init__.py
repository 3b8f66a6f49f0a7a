"""The configuration file: shape, limits, and errors a person can act on."""
