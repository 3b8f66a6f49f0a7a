"""Samples with the verdicts that two programs must agree on without importing each other."""
