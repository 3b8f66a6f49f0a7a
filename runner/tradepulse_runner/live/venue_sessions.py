"""All venues together: operations over every session."""

from __future__ import annotations

import asyncio
import contextlib

from tradepulse_runner.errors import DurabilityLost, OrderError, OrderNotFound
from tradepulse_runner.live.session import VenueSession
from tradepulse_runner.live.submission import Submitter
from tradepulse_runner.live.trading_state import TradingState
from tradepulse_runner.risk.reducing import growing

#: Seconds that a sweep waits for a slow venue before the others are looked at again.
SWEEP_PATIENCE = 0.5


class VenueSessions:
    """The sessions by venue, and the submitter that sends to them."""

    def __init__(self, state: TradingState) -> None:
        self._state = state
        self.sessions: dict[str, VenueSession] = {}
        self.submitter: Submitter | None = None
        self._sweeps: dict[str, asyncio.Task[None]] = {}

    # -- reading ---------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether an order is in flight, rests, or may rest at a venue."""
        in_flight = self.submitter.in_flight if self.submitter else 0
        return bool(in_flight) or bool(self.live_orders())

    def live_orders(self) -> list[str]:
        """Client ids of all orders that aren't closed."""
        return [r.client_id for s in self.sessions.values() for r in s.oms.state.live.values()]

    def venue_of(self, client_id: str) -> str:
        """The venue whose book has this order. Raises :class:`OrderNotFound`."""
        for name, session in self.sessions.items():
            if client_id in session.oms.state.orders:
                return name
        raise OrderNotFound(f"{client_id} is not an order of this runner")

    # -- doing -----------------------------------------------------------------------------

    def mark_unreconciled(self) -> None:
        """Send nothing before every venue was reconciled again."""
        for session in self.sessions.values():
            session.mark_unreconciled()
            session.wake.set()

    def set_urgent(self, urgent: bool) -> None:
        """While the kill switch is engaged, pauses before reconnecting are short."""
        for session in self.sessions.values():
            if urgent:
                session.urgent.set()
            else:
                session.urgent.clear()

    def expire_queue(self, reason: str) -> None:
        """Expire every order that was not sent yet."""
        if self.submitter is None:
            return
        try:
            self.submitter.expire_queue(reason)
        except DurabilityLost as error:
            self._state.fail_storage(error)

    async def cancel_all(self, *, unreconciled: bool = False) -> None:
        """One sweep of all venues at once. A slow venue's sweep goes on, and doesn't delay the next
        sweep of the others. ``unreconciled``: also what our books know of venues that are
        being reconciled. A failed write is recorded in the state, not raised: callers go on."""
        for name, session in self.sessions.items():
            # A live order needs an early poll, not the next regular one.
            if session.oms.state.live:
                session.wake.set()
            running = self._sweeps.get(name)
            if (running is None or running.done()) and (session.reconciled or unreconciled):
                self._sweeps[name] = asyncio.create_task(self._sweep(session), name=f"sweep-{name}")
        if not self._sweeps:
            return
        done, _ = await asyncio.wait(self._sweeps.values(), timeout=SWEEP_PATIENCE)
        for task in done:
            task.result()  # an error of the sweep would be lost otherwise

    async def _sweep(self, session: VenueSession) -> None:
        try:
            await session.cancel_all()
        except* DurabilityLost as group:
            self._state.fail_storage(group)

    async def cancel_growing(self) -> None:
        """Cancel resting orders that could raise a position."""
        for session in self.sessions.values():
            state = session.oms.state
            resting = [r for r in state.working() if r.final is None]
            if session.reconciled and (orders := growing(resting, state.positions)):
                session.wake.set()
                await session.cancel_some(orders)

    async def cancel_unsettled(self) -> None:
        """Cancel by the venue's list where the book is unreliable: after a failed write, with live
        orders, or unreconciled."""
        lost = self._state.facts.storage_failure
        for session in self.sessions.values():
            if lost or session.oms.state.live or not session.reconciled:
                with contextlib.suppress(OrderError):
                    await session.ask(session.connector.connect())
                    await session.cancel_without_state()

    async def save(self) -> None:
        """A snapshot of every venue's book."""
        for session in self.sessions.values():
            try:
                await session.oms.save()
            except DurabilityLost as error:
                self._state.fail_storage(error)

    async def close(self) -> None:
        """Disconnect and close the files."""
        for task in self._sweeps.values():
            task.cancel()
        if self._sweeps:
            await asyncio.wait(self._sweeps.values())
        for session in self.sessions.values():
            await session.connector.disconnect()
            session.oms.close()
