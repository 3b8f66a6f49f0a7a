"""The outside world, one port a file: the only I/O of the operator."""
