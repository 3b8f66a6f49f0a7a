"""Which optional kinds the API server knows, remembered for a while."""

from __future__ import annotations

from tradepulse_operator.clients.clock import Clock

from .client import Kube
from .kinds import Kind

#: Seconds that an answer counts: a definition that is installed later is found within these.
_LASTS = 60.0


class DiscoveryCache:
    """Answers from memory, asks the API server when that is old."""

    def __init__(self, kube: Kube, clock: Clock) -> None:
        self._kube = kube
        self._clock = clock
        self._known: dict[Kind, tuple[bool, float]] = {}

    async def missing_kinds(self, *wanted: Kind) -> frozenset[Kind]:
        """Those of `wanted` that the API server has no definition of. Raises KubeError."""
        return frozenset([kind for kind in wanted if not await self._serves(kind)])

    def forget(self, kind: Kind) -> None:
        """A request for that kind found nothing there: ask again next time."""
        self._known.pop(kind, None)

    async def _serves(self, kind: Kind) -> bool:
        now = self._clock.monotonic()
        known = self._known.get(kind)
        if known is None or now - known[1] > _LASTS:
            known = self._known[kind] = (await self._kube.serves(kind), now)
        return known[0]
