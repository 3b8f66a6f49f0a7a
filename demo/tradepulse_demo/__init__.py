"""A runner with a deliberate defect: what a bad release looks like, for demonstrations and tests.

A distribution of its own, so that the runner that people install has no such code in it.
"""
