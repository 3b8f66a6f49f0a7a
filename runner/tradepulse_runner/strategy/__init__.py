"""Strategies: what they see, what they may ask for, and the ones that ship."""
