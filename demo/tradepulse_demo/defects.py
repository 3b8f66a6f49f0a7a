"""Deliberate defects in the order path of a runner.

Each shows only under load after some orders, and announces itself nowhere: the operator can judge
it by its effects alone.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tradepulse_runner.config.runner import Model, VenueConfig, parse_model
from tradepulse_runner.credentials.store import CredentialStore
from tradepulse_runner.domain import Order, VenueOrder
from tradepulse_runner.errors import ConfigError, OrderRejected
from tradepulse_runner.venues.base import ExecutionConnector, Permit, always
from tradepulse_runner.venues.catalog import build_connector
from tradepulse_runner.venues.fenced import Fenced
from tradepulse_runner.venues.forwarding import Forwarding

FILE = "TRADEPULSE_DEFECT_FILE"
# Orders before the defect shows: past any smoke test, well inside a demonstration.
DEFAULT_AFTER = 60
PAGE = 4
PAGE_ROUND_TRIP = 0.025
# Pages that take half a second.
SLOW_PAGES = 20


class _Spoiled(Forwarding):
    """``after``: orders that are passed on unharmed."""

    def __init__(self, inner: ExecutionConnector, after: int) -> None:
        super().__init__(inner)
        self._after = after
        self._placed = 0


class ReusedNonce(_Spoiled):
    """ "errors": a nonce kept in a cache is reused once the cache warms up, and the venue refuses
    every request whose nonce does not rise: two of three."""

    def __init__(self, inner: ExecutionConnector, after: int) -> None:
        super().__init__(inner, after)
        self._highest = -1

    async def place_order(self, order: Order, idempotency_key: str) -> VenueOrder:
        self._placed += 1
        cold = self._placed <= self._after
        nonce = self._placed * 3 if cold else self._placed // 3 * 3 + self._after * 3
        if nonce <= self._highest:
            raise OrderRejected(f"nonce {nonce} was used before")
        self._highest = nonce
        return await self.inner.place_order(order, idempotency_key)


class HistoryScan(_Spoiled):
    """ "latency": before each order, the whole order history is paged through to look for a
    duplicate. The history only grows, so latency grows with every order; after ``after`` orders
    it has passed half a second."""

    async def place_order(self, order: Order, idempotency_key: str) -> VenueOrder:
        self._placed += 1
        for _page in range((self._placed - self._after) // PAGE + SLOW_PAGES):
            await asyncio.sleep(PAGE_ROUND_TRIP)
        return await self.inner.place_order(order, idempotency_key)


class SelfDeadlock(_Spoiled):
    """ "freeze": the order path takes a lock that it already holds, on a branch only a long
    session reaches. The event loop stops for ever: no metrics, no probes, no SIGTERM."""

    def __init__(self, inner: ExecutionConnector, after: int) -> None:
        super().__init__(inner, after)
        self._session = threading.Lock()

    async def place_order(self, order: Order, idempotency_key: str) -> VenueOrder:
        with self._session:
            self._placed += 1
            if self._placed > self._after:
                self._renew_session()
        return await self.inner.place_order(order, idempotency_key)

    def _renew_session(self) -> None:
        with self._session:
            self._placed = 0


_KINDS: dict[str, Callable[[ExecutionConnector, int], ExecutionConnector]] = {
    "errors": ReusedNonce,
    "latency": HistoryScan,
    "freeze": SelfDeadlock,
}
KINDS = tuple(_KINDS)


class Defect(Model):
    """What is wrong with a release. ``after``: orders until it shows."""

    kind: Literal["errors", "latency", "freeze"]
    after: Annotated[int, Field(ge=0)] = DEFAULT_AFTER

    def wrap(self, connector: ExecutionConnector) -> ExecutionConnector:
        """``connector`` with the defect."""
        return _KINDS[self.kind](connector, self.after)

    def build_connector(
        self,
        venue: VenueConfig,
        state_dir: Path,
        store: CredentialStore | None = None,
        *,
        source: str,
        clock: Callable[[], float],
        permit: Permit = always,
    ) -> ExecutionConnector:
        """As :func:`~tradepulse_runner.venues.catalog.build_connector`, with the defect."""
        sound = build_connector(venue, state_dir, store, source=source, clock=clock, permit=permit)
        # Fenced inside of what may take its time: even a bad release must not send without permit.
        return self.wrap(Fenced(sound, permit))


def load_defect(environ: Mapping[str, str]) -> Defect:
    """The defect in the file that ``TRADEPULSE_DEFECT_FILE`` names, e.g. ``{"kind": "errors"}``.
    Raises :class:`ConfigError`."""
    path = environ.get(FILE, "")
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{FILE}: {path!r} cannot be read as JSON: {exc}") from exc
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: must be a JSON object")
    return parse_model(Defect, raw, source=path)
