"""Polls the venues' credentials, and decides what a refusal means."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from tradepulse_runner.credentials.store import SETTLE, CredentialStore

log = logging.getLogger(__name__)


class CredentialMetrics:
    """Metrics by venue; a venue without credentials stays at 0."""

    def __init__(self, registry: CollectorRegistry, venues: Iterable[str]) -> None:
        self.generation = Gauge(
            "tradepulse_credentials_generation",
            "Number of the credentials in use, counted from 1 at the start; 0: the venue"
            " needs none.",
            ["venue"],
            registry=registry,
        )
        self.loaded = Gauge(
            "tradepulse_credentials_loaded_timestamp_seconds",
            "When the credentials in use were loaded.",
            ["venue"],
            registry=registry,
        )
        self.stale = Gauge(
            "tradepulse_credentials_stale",
            "1 while the credential files have been unusable for long; the previous"
            " credentials stay in use.",
            ["venue"],
            registry=registry,
        )
        self.failures = Counter(
            "tradepulse_credentials_reload_failures",
            "Times that the credential files became unusable after the start.",
            ["venue"],
            registry=registry,
        )
        for venue in venues:
            for series in (self.generation, self.loaded, self.stale, self.failures):
                series.labels(venue)


class CredentialWatch:
    """Keeps the stores (by venue) fresh. ``venues`` are all, also those that need no store."""

    def __init__(
        self,
        stores: Mapping[str, CredentialStore],
        registry: CollectorRegistry,
        *,
        venues: Iterable[str],
        interval: float,
    ) -> None:
        self._stores, self._interval = stores, interval
        self._metrics = CredentialMetrics(registry, venues)
        self._failures = dict.fromkeys(stores, 0)
        self._reported: set[str] = set()
        self._wake = asyncio.Event()
        for venue, store in stores.items():
            self._show(venue, store)

    async def run(self) -> None:
        """Worker: polls every interval, more often while files are being replaced."""
        while True:
            for venue, store in self._stores.items():
                store.refresh()
                self._show(venue, store)
            swapping = any(store.swapping for store in self._stores.values())
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SETTLE / 2 if swapping else self._interval):
                    await self._wake.wait()

    def verdict(self, venue: str, began: float) -> str:
        """The venue refused a request that began at ``began`` (``time.monotonic``): why trading
        must end. "" while the files are being replaced, and when newer credentials came after the
        request began: then it may be older ones that were refused, and the next request decides.
        Names the venue and a fingerprint, never the key."""
        store = self._stores.get(venue)
        if store is None:
            return f"{venue} refused the credentials"
        self._show(venue, store)
        if store.swapping:
            self._wake.set()  # a replacement under way may complete soon
            log.warning("credentials.refused_while_replaced", extra={"venue": venue})
            return ""
        used = store.current
        if used.adopted_at > began:
            return ""
        return (
            f"{venue} refused the newest credentials (key {used.fingerprint}, generation "
            f"{used.generation}); remedy: provide a pair that the venue accepts, then reset"
        )

    def _show(self, venue: str, store: CredentialStore) -> None:
        metrics = self._metrics
        metrics.generation.labels(venue).set(store.current.generation)
        metrics.loaded.labels(venue).set(store.current.loaded_at)
        metrics.stale.labels(venue).set(int(store.stale))
        metrics.failures.labels(venue).inc(store.failures - self._failures[venue])
        self._failures[venue] = store.failures
        if not store.stale:
            self._reported.discard(venue)
        elif venue not in self._reported:
            self._reported.add(venue)
            log.error("credentials.stale", extra={"venue": venue, "why": store.problem})
