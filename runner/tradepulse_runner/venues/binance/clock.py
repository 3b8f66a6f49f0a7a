"""The venue's clock, as well as it can be known from here."""

from __future__ import annotations

import math
from collections.abc import Callable

SAMPLES = 3
#: A round trip longer than this is too inexact to sign by.
MAX_ROUND_TRIP = 2.0


class ServerClock:
    """Server time = own monotonic clock + offset, wrong by at most ``uncertainty`` seconds.

    The monotonic clock keeps a step of the wall clock (NTP, a resumed machine) out of it.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._offset = 0.0
        self.uncertainty = math.inf
        #: The worst that any signature was made with: what the fence must allow for.
        self.worst = 0.0

    def adopt(self, samples: list[tuple[float, float, int]]) -> bool:
        """Samples are (asked, answered, server milliseconds). The quickest one is the most exact:
        the server read its clock somewhere between the two. False if even that was too slow."""
        trip, middle, server = min(
            (answered - asked, (asked + answered) / 2, at / 1000) for asked, answered, at in samples
        )
        if trip > MAX_ROUND_TRIP:
            return False
        self._offset = server - middle
        self.uncertainty = trip / 2 + 0.001  # the server's time has whole milliseconds
        self.worst = max(self.worst, self.uncertainty)
        return True

    @property
    def known(self) -> bool:
        return self.uncertainty < math.inf

    def now(self) -> float:
        """Unix seconds at the server."""
        return self._monotonic() + self._offset

    def milliseconds(self) -> int:
        return int(self.now() * 1000)
