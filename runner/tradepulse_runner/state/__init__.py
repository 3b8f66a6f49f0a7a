"""The state directory while no runner writes: prepared, inspected, backed up, restored."""
