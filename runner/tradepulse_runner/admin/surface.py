"""What the routes act on: the running loop, the audit trail, and the access checks."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tradepulse_runner.admin import schemas
from tradepulse_runner.admin.access import Access
from tradepulse_runner.admin.auditing import Auditor
from tradepulse_runner.files.snapshot import canonical
from tradepulse_runner.killswitch import KillSwitch
from tradepulse_runner.live.killreport import SHOWN
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.live.session import VenueSession

#: Heartbeats that may be missed before the loop counts as stuck.
MISSED = 5


@dataclass(frozen=True)
class Surface:
    """``status()``: body of ``/status``; ``audit()``, ``siem()``: state of signing and forwarding.
    ``clock`` gives unix seconds."""

    loop: LiveExecutionLoop
    status: Callable[[], dict[str, Any]]
    access: Access
    auditor: Auditor
    audit: Callable[[], schemas.AuditView]
    siem: Callable[[], schemas.SiemView | None]
    clock: Callable[[], float] = time.time
    #: Serializes requests that change the latch.
    latch_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def state_dir(self) -> Path:
        return self.loop.config.state_dir

    # -- the kill switch -------------------------------------------------------------------

    def switch(self) -> schemas.KillSwitchView:
        """The latch as it is on disk, and the uncancelled orders."""
        latch, loop = self.loop.latch(), self.loop
        left = loop.uncancelled if latch.engaged else []
        return schemas.KillSwitchView(
            engaged=latch.engaged,
            reason=latch.reason,
            changed_at=latch.changed_at,
            history=[schemas.Entry.model_validate(entry) for entry in latch.history],
            complete=latch.engaged and loop.all_cancelled,
            uncancelled_orders=len(left),
            uncancelled=[schemas.Left.model_validate(entry) for entry in left[:SHOWN]],
        )

    def reset(self, *, by: str, reason: str) -> None:
        """Open the latch on disk, as the command line does; the running loop sees it within 0.1 s.
        Blocks. Raises :class:`StateError`, :class:`DurabilityLost`."""
        KillSwitch(self.state_dir, clock=self.clock).reset(by=by, reason=reason)

    # -- reads -----------------------------------------------------------------------------

    def state(self) -> schemas.StateView:
        status = self.status()
        switch = status["kill_switch"]
        return schemas.StateView.model_validate(
            {
                **status,
                "kill_switch_engaged": switch["engaged"],
                "kill_switch_reason": switch["reason"],
            }
        )

    def positions(self) -> schemas.PositionsView:
        return schemas.PositionsView(venues=[_book(one) for one in self.loop.sessions.values()])

    def orders(self, venue: str | None, limit: int) -> schemas.OrdersView:
        sessions = self.loop.sessions
        chosen = [sessions[venue]] if venue is not None else list(sessions.values())
        views = [_orders(session) for session in chosen]
        orders = sorted((one for some in views for one in some), key=lambda one: one.sent_at)
        return schemas.OrdersView(total=len(orders), orders=orders[:limit])

    def health(self) -> schemas.HealthView:
        loop = self.loop
        age = max(0.0, self.clock() - loop.heartbeat)
        turns = loop.started and age <= max(5.0, MISSED * loop.config.heartbeat_interval)
        return schemas.HealthView(
            loop=turns,
            heartbeat_age=age if loop.heartbeat else 0.0,
            storage=loop.storage_failure,
            audit=self.audit(),
            siem=self.siem(),
        )


def etag(view: schemas.KillSwitchView) -> str:
    """An entity tag of the latch's state, reason and time of change."""
    seen = [view.engaged, view.reason, view.changed_at]
    return f'"{hashlib.sha256(canonical(seen)).hexdigest()[:16]}"'


def _book(session: VenueSession) -> schemas.Book:
    state = session.oms.state
    return schemas.Book(
        venue=session.name,
        reconciled=session.reconciled,
        cash=str(state.cash),
        positions=[
            schemas.Position(symbol=symbol, quantity=str(quantity))
            for symbol, quantity in sorted(state.positions.items())
        ],
    )


def _orders(session: VenueSession) -> list[schemas.OrderView]:
    return [
        schemas.OrderView(
            venue=session.name,
            order=record.client_id,
            venue_id=record.venue_id,
            symbol=record.order.symbol,
            side=str(record.order.side),
            type=str(record.order.type),
            quantity=str(record.order.quantity),
            price=None if record.order.price is None else str(record.order.price),
            filled=str(record.filled),
            status=str(record.status),
            sent_at=record.sent_at,
            algo=record.order.algo,
            owner=record.owner,
        )
        for record in session.oms.state.live.values()
    ]
