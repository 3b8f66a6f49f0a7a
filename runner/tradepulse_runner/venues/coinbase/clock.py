"""The venue's clock, as well as it can be known from here."""

from __future__ import annotations

import time
from collections.abc import Callable

#: A round trip longer than this is too inexact to sign by.
MAX_ROUND_TRIP = 4.0


class VenueClock:
    """Venue time = own monotonic clock + offset, which keeps a step of our wall clock (NTP, a
    resumed machine) out of it. Until the venue was asked, our wall clock has to do."""

    def __init__(
        self, monotonic: Callable[[], float], wall: Callable[[], float] = time.time
    ) -> None:
        self._monotonic = monotonic
        self._offset = wall() - monotonic()
        #: The worst that a token was made with: what the fence must allow for.
        self.uncertainty = 0.0

    def adopt(self, asked: float, answered: float, venue: float) -> bool:
        """The venue's clock was ``venue`` (unix seconds) between the two of our times. False if
        that is too inexact."""
        if answered - asked > MAX_ROUND_TRIP:
            return False
        self._offset = venue - (asked + answered) / 2
        self.uncertainty = max(self.uncertainty, (answered - asked) / 2)
        return True

    def now(self) -> float:
        """Unix seconds at the venue."""
        return self._monotonic() + self._offset
