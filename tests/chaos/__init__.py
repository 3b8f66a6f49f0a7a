"""Kill the runner at every named moment of an order's life, and compare with the venue."""
