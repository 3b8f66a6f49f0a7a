"""(Custom resource, observation, clock) → the next step. Pure."""
