"""Connectors: what the loop needs from a venue (:mod:`base`) and who provides it."""
