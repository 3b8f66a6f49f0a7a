"""Looks at the venues' credentials again and again, and says what a refusal means."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from tradepulse_runner.credentials import SETTLE, CredentialStore
from tradepulse_runner.metrics import RunnerMetrics

log = logging.getLogger(__name__)


class CredentialWatch:
    """Keeps the stores (by venue) fresh. A venue without credentials has no store."""

    def __init__(
        self, stores: Mapping[str, CredentialStore], metrics: RunnerMetrics, *, interval: float
    ) -> None:
        self._stores, self._metrics, self._interval = stores, metrics, interval
        self._failures = dict.fromkeys(stores, 0)
        self._reported: set[str] = set()
        for venue, store in stores.items():
            self._show(venue, store)

    async def run(self) -> None:
        """Worker: a look every interval, sooner while files are being replaced."""
        while True:
            for venue, store in self._stores.items():
                store.refresh()
                self._show(venue, store)
            swapping = any(store.swapping for store in self._stores.values())
            await asyncio.sleep(min(self._interval, SETTLE) if swapping else self._interval)

    def verdict(self, venue: str) -> str:
        """The venue refused the newest credentials: why trading must end, or "" while their files
        are being replaced. Names the venue and a fingerprint, never the key."""
        store = self._stores.get(venue)
        if store is None:
            return f"{venue} refused the credentials"
        self._show(venue, store)
        if store.swapping:
            log.warning("credentials.refused_while_replaced", extra={"venue": venue})
            return ""
        used = store.current
        return (
            f"{venue} refused the newest credentials (key {used.fingerprint}, generation "
            f"{used.generation}); remedy: provide a pair that the venue accepts, then reset"
        )

    def _show(self, venue: str, store: CredentialStore) -> None:
        metrics = self._metrics
        metrics.credentials_generation.labels(venue).set(store.current.generation)
        metrics.credentials_loaded.labels(venue).set(store.current.loaded_at)
        metrics.credentials_stale.labels(venue).set(int(store.stale))
        metrics.credentials_failures.labels(venue).inc(store.failures - self._failures[venue])
        self._failures[venue] = store.failures
        if not store.stale:
            self._reported.discard(venue)
        elif venue not in self._reported:
            self._reported.add(venue)
            log.error("credentials.stale", extra={"venue": venue, "why": store.problem})
