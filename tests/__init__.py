"""Tests: unit (pure and processes), e2e (a real cluster), bench (measurements)."""
