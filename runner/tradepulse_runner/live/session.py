"""One venue's session: its connection, its order book, and the requests that cancel orders."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tradepulse_runner.domain import (
    OrderStatus,
    VenueOrder,
)
from tradepulse_runner.errors import (
    CredentialsRefused,
    DurabilityLost,
    OrderError,
    OrderNotFound,
    OutcomeUnknown,
    RunnerError,
    VenueDisconnected,
    VenueThrottled,
)
from tradepulse_runner.files.snapshot import Step, no_fault
from tradepulse_runner.live.send_times import SendTimes
from tradepulse_runner.live.streams import UserStreamHandler
from tradepulse_runner.live.trading_state import TradingState
from tradepulse_runner.oms.book import Oms
from tradepulse_runner.oms.epoch import OrderIds
from tradepulse_runner.oms.state import OrderRecord
from tradepulse_runner.venues.base import ExecutionConnector

T = TypeVar("T")
log = logging.getLogger(__name__)
REQUEST_TIMEOUT = 10.0
#: Seconds that an intent may take to reach the disk. A venue's ``outcome_horizon`` counts from it,
#: and has this much to spare; besides, the market has moved on.
INTENT_LIFETIME = 5.0


class BodyMismatch(RunnerError):
    """The venue returned another order for our id: ids collide, so the order book can't be
    trusted."""


async def _ignore_refusal(_venue: str, _began: float) -> None:
    """Default of ``on_refused``."""


class VenueSession:
    """Keeps one :class:`Oms` in step with one connector. ``clock`` gives unix seconds,
    ``monotonic`` seconds that never fall.

    ``on_refused`` is awaited when the venue refuses our credentials, with the venue's name and
    when the request began (by ``monotonic``)."""

    def __init__(
        self,
        connector: ExecutionConnector,
        oms: Oms,
        ids: OrderIds,
        state: TradingState,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
        step: Step = no_fault,
    ) -> None:
        self.connector = connector
        self.oms = oms
        self.name = connector.name
        self.symbols = connector.symbols
        self._state = state
        state.set_venue(self.name, reconciled=False)
        self.wake = asyncio.Event()
        self.urgent = asyncio.Event()  # the kill switch is engaged: reconnect soon
        self.refused_cancels: dict[str, str] = {}  # client id -> why it could not be cancelled
        self._resting_by_venue: set[str] | None = None
        self.on_refused: Callable[[str, float], Awaitable[None]] = _ignore_refusal
        self.ids = ids
        self._clock, self._monotonic = clock, monotonic
        self._step = step
        self.send_times = SendTimes(clock=monotonic)
        self._stream_lost = ""
        self.lost = asyncio.Event()  # set when the stream is lost: ends pauses
        connector.listen(
            UserStreamHandler(oms, request_poll=self.wake.set, lost=self._lose_stream).on_event
        )

    @property
    def reconciled(self) -> bool:
        """Whether our book agrees with the venue's, as far as is known."""
        return self._state.facts.venues[self.name].reconciled

    def mark_reconciled(self) -> None:
        """Allow orders to this venue."""
        self._state.set_venue(self.name, reconciled=True)

    def mark_unreconciled(self) -> None:
        """Send nothing to this venue before the next reconciliation."""
        self._state.set_venue(self.name, reconciled=False)

    def _lose_stream(self, reason: str) -> None:
        self._stream_lost = reason
        self.mark_unreconciled()  # sending stops now, not at the next poll
        self.lost.set()
        self.wake.set()

    async def connect(self) -> None:
        """Open the connection and its streams unless open. Raises :class:`OrderError`."""
        self._stream_lost = ""
        self.lost.clear()
        await self.ask(self.connector.connect())

    async def ask(self, request: Awaitable[T]) -> T:
        """Await a request, at most ``REQUEST_TIMEOUT`` s; any other failure becomes
        :class:`OutcomeUnknown`."""
        began = self._monotonic()
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                return await request
        except CredentialsRefused:
            await self.on_refused(self.name, began)
            raise
        except (OrderError, DurabilityLost):
            raise
        except Exception as exc:
            raise OutcomeUnknown(f"{self.name}: {type(exc).__name__}: {exc}") from exc

    def too_late(self, client_id: str) -> str:
        """Why an order whose intent was just journalled must not be sent any more, or ""."""
        took = self._clock() - self.oms.state.orders[client_id].sent_at
        return f"the journal took {took:.1f} s" if took > INTENT_LIFETIME else ""

    def require_stream(self) -> None:
        """Raise :class:`VenueDisconnected` if the stream was lost since :meth:`connect`."""
        if self._stream_lost:
            raise VenueDisconnected(f"{self.name}: stream lost: {self._stream_lost}")

    def check_body(self, known: OrderRecord, order: VenueOrder) -> None:
        """Raise :class:`BodyMismatch` if the venue's order of that id isn't the one that we
        sent."""
        if known.order.body_hash() != order.order.body_hash():
            raise BodyMismatch(f"{self.name}: {order.client_id} is another order at the venue")

    # -- cancelling ---------------------------------------------------------------------------

    async def cancel(self, client_id: str) -> None:
        """Cancel one order. Raises :class:`OrderError`; the order then stays as it was."""
        known = self.oms.state.orders.get(client_id)
        if known is None:
            raise OrderNotFound(f"{self.name}: {client_id} is not an order of this runner")
        self._step("cancel.send")
        answer = await self.ask(self.connector.cancel_order(known.ref))
        self._step("cancel.answered")
        self.oms.closed(answer, "cancelled")
        if not self.connector.streaming:  # else the stream brings the fills before the cancel, too
            self.wake.set()

    async def cancel_all(self) -> None:
        """Try to cancel every working order; the others stay working."""
        targets = [r.client_id for r in self.oms.state.working() if r.final is None]
        self.refused_cancels = {i: y for i, y in self.refused_cancels.items() if i in targets}
        limit = asyncio.Semaphore(16)

        async def one(client_id: str) -> None:
            async with limit:
                await self._try_cancel(client_id)

        async with asyncio.TaskGroup() as group:
            for client_id in targets:
                group.create_task(one(client_id))

    async def cancel_some(self, client_ids: list[str]) -> None:
        """Try to cancel these orders."""
        for client_id in client_ids:
            await self._try_cancel(client_id)

    async def _try_cancel(self, client_id: str) -> None:
        try:
            await self.cancel(client_id)
        except OrderError as exc:
            self._record_refused_cancel(client_id, exc)
        else:
            self.refused_cancels.pop(client_id, None)

    def _record_refused_cancel(self, client_id: str, error: OrderError) -> None:
        # A sweep repeats its cancels four times a second: log each reason once. The time that a
        # throttling venue asks for differs each time, so it is left out.
        silent = f"{self.name} wants no requests for a while; tried again once it takes some"
        why = silent if isinstance(error, VenueThrottled) else str(error)
        if self.refused_cancels.get(client_id) != why:
            log.warning("live_loop.cancel_failed", extra={"order": client_id, "why": why})
        self.refused_cancels[client_id] = why

    def may_rest(self, record: OrderRecord) -> bool:
        """Whether a live order of our book may rest at the venue, by the last answer."""
        if self._resting_by_venue is not None:
            return record.client_id in self._resting_by_venue
        return record.status is not OrderStatus.QUEUED

    async def cancel_without_state(self) -> int:
        """Cancel our orders by the venue's own list, for when our state can't be used or written.

        Returns how many may still rest there. Raises :class:`OrderError` if it cannot be asked.
        """
        left: set[str] = set()
        for order in await self.ask(self.connector.open_orders()):
            if not self.ids.ours(order.client_id):
                continue
            try:
                await self.ask(self.connector.cancel_order(order.ref))
            except OrderError as exc:
                left.add(order.client_id)
                self._record_refused_cancel(order.client_id, exc)
        if self.oms.lost:
            self._resting_by_venue = left  # our book can't follow any more
        return len(left)
