"""The preconditions of a cutover: checked before the running release is touched."""
