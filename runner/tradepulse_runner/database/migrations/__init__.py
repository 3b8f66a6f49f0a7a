"""Numbered SQL files; ``-- oldest: N`` is the oldest schema whose release still runs after it."""
