"""A clock that tests move."""

from __future__ import annotations


class FakeClock:
    """Stands still until it is moved; wall time is monotonic time plus 1.8 billion."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return 1_800_000_000.0 + self.at

    def monotonic(self) -> float:
        return self.at
