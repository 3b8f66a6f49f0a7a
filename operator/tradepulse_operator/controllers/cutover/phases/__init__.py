"""A cutover's decisions, a phase each."""
