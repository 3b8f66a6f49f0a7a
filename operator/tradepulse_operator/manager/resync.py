"""Reconciles every object periodically, in case events were lost.

Every 30 s the metadata of both kinds is listed and compared with what the watch delivered; every
`resync` seconds each object is reconciled regardless, spread over that time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from random import Random

from tradepulse_operator.clients.clock import Clock
from tradepulse_operator.clients.kubernetes import kinds
from tradepulse_operator.clients.kubernetes.client import Kube
from tradepulse_operator.clients.kubernetes.errors import KubeError

from .key import Key
from .watch_tracker import WatchTracker

EVERY = 30.0

_log = logging.getLogger(__name__)


class Resync:
    """`add`, `later`: the work queue's."""

    def __init__(
        self,
        kube: Kube,
        clock: Clock,
        tracker: WatchTracker,
        add: Callable[[Key], None],
        later: Callable[[Key, float], None],
        *,
        namespaces: tuple[str | None, ...],
        resync: float,
        every: float = EVERY,
    ) -> None:
        self._kube = kube
        self._clock = clock
        self._tracker = tracker
        self._add = add
        self._later = later
        self._namespaces = namespaces
        self._resync = resync
        self._every = every
        self._resynced: float | None = None
        self._chance = Random()
        #: Whether a whole comparison has succeeded since the start.
        self.done = False

    async def run(self) -> None:
        """Compare periodically, for ever; a failure is tried again the next time."""
        while True:
            try:
                await self.once()
            except KubeError as error:
                _log.warning("resync failed: %s", error)
            await asyncio.sleep(self._every)

    async def once(self) -> None:
        """One comparison. Raises KubeError."""
        known = self._tracker.known()
        listed: list[tuple[Key, str]] = []
        for kind in (kinds.RUNNER, kinds.CUTOVER):
            for namespace in self._namespaces:
                for item in await self._kube.list(kind, namespace, metadata_only=True):
                    meta = item["metadata"]
                    key = Key(kind[1], meta["namespace"], meta["name"])
                    listed.append((key, meta["resourceVersion"]))
        now = self._clock.monotonic()
        for key in self._tracker.listed(listed, known, now):
            self._add(key)
        if self._resynced is None or now - self._resynced >= self._resync:
            self._resynced = now
            for key, _ in listed:
                self._later(key, self._chance.uniform(0, self._resync))
        self.done = True
