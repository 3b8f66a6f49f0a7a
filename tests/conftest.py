"""What holds for every kind of test."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes says how busy the machine is, and nothing else.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
