"""One venue's conversation: connect, reconcile, poll, cancel. The venue is the truth.

Reading order matters: open orders first, trades after. A fill between the two is then seen
twice (and booked once) instead of never.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from tradepulse_runner.domain import (
    ZERO,
    OrderStatus,
    Positions,
    Trade,
    TradePage,
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
from tradepulse_runner.live.signals import Signal
from tradepulse_runner.live.streams import UserStreamHandler
from tradepulse_runner.live.trading_state import TradingState
from tradepulse_runner.oms.book import Oms
from tradepulse_runner.oms.epoch import OrderIds
from tradepulse_runner.oms.state import OrderRecord
from tradepulse_runner.venues.base import ExecutionConnector

T = TypeVar("T")
log = logging.getLogger(__name__)
REQUEST_TIMEOUT = 10.0
POSITION_READS = 10
#: Seconds that an intent may take to reach the disk. A venue's ``outcome_horizon`` counts from it,
#: and has this much to spare; besides, the market has moved on.
INTENT_LIFETIME = 5.0
#: Seconds that a stream may lag behind the venue's trade list before it counts as having dropped.
STREAM_LAG = 2.0


class Drift(StrEnum):
    """What a reconciliation found to differ; the ``kind`` label of the drift metric."""

    ORDER_ADOPTED = "order_adopted"
    ORDER_REOPENED = "order_reopened"
    ORDER_VANISHED = "order_vanished"
    ORDER_FOREIGN = "order_foreign"
    FILLS_MISSING = "fills_missing"
    FILL_NOT_STREAMED = "fill_not_streamed"
    POSITION = "position"


class BodyMismatch(RunnerError):
    """The venue returned another order for our id: ids collide, nothing can be trusted."""


async def _nobody(_venue: str, _began: float) -> None:
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
        on_drift: Signal[[str, Drift, str]] | None = None,
        step: Step = no_fault,
    ) -> None:
        self.connector = connector
        self.oms = oms
        self.name = connector.name
        self.symbols = connector.symbols
        self._state = state
        state.set_venue(self.name, reconciled=False)
        self.wake = asyncio.Event()
        self.urgent = asyncio.Event()  # the kill switch is engaged: come back soon
        self.refused_cancels: dict[str, str] = {}  # client id -> why it could not be cancelled
        self._left_by_venue: set[str] | None = None
        self.on_refused: Callable[[str, float], Awaitable[None]] = _nobody
        self._ids = ids
        self._clock, self._monotonic = clock, monotonic
        self._step = step
        self.send_times = SendTimes(clock=monotonic)
        self._lock = asyncio.Lock()
        self._foreign: set[str] = set()
        self._on_drift: Signal[[str, Drift, str]] = on_drift or Signal()
        self._stream_lost = ""
        self.lost = asyncio.Event()  # the stream is: nothing is worth waiting for
        connector.listen(UserStreamHandler(oms, ask=self.wake.set, lost=self._lose_stream).on_event)

    @property
    def reconciled(self) -> bool:
        """Whether our book agrees with the venue's, as far as anybody knows."""
        return self._state.facts.venues[self.name].reconciled

    def mark_reconciled(self) -> None:
        """Orders may be sent, as far as this venue is concerned."""
        self._state.set_venue(self.name, reconciled=True)

    def mark_unreconciled(self) -> None:
        """Nothing is sent before the next reconciliation."""
        self._state.set_venue(self.name, reconciled=False)

    def _lose_stream(self, reason: str) -> None:
        self._stream_lost = reason
        self.mark_unreconciled()  # the gate closes now, not when somebody next asks
        self.lost.set()
        self.wake.set()

    def _drift(self, kind: Drift, detail: str) -> None:
        details = {"venue": self.name, "kind": str(kind), "detail": detail}
        log.warning("live_loop.drift", extra=details)
        self._on_drift.emit(self.name, kind, detail)

    async def connect(self) -> None:
        """Open the connection and its streams unless open. Raises :class:`OrderError`."""
        self._stream_lost = ""
        self.lost.clear()
        await self.ask(self.connector.connect())

    async def ask(self, request: Awaitable[T]) -> T:
        """Await a request, at most ``REQUEST_TIMEOUT`` s; what is not a clear answer becomes
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

    # -- reconciliation --------------------------------------------------------------------

    async def reconcile(self) -> None:
        """Make the local state agree with the venue; returns when nothing is unknown.

        Nothing may be sent meanwhile. Raises :class:`OrderError` when the venue cannot be asked.
        """
        async with self._lock:
            if self.oms.state.cursor is None:
                await self._begin_fresh()
            while True:
                self.require_stream()
                await self._match_open_orders()
                await self._book_trades()
                if not self.oms.state.with_status(OrderStatus.UNKNOWN):
                    break
                await asyncio.sleep(self._next_proof())
            await self._match_positions()
            self.require_stream()

    def require_stream(self) -> None:
        """Raise :class:`VenueDisconnected` if the stream was lost since :meth:`connect`."""
        if self._stream_lost:
            raise VenueDisconnected(f"{self.name}: stream lost: {self._stream_lost}")

    async def _begin_fresh(self) -> None:
        """Nothing is known: take positions and the trade cursor from one quiet moment."""
        for _ in range(POSITION_READS):
            before = await self.ask(self.connector.trades_since(None))
            positions = await self.ask(self.connector.get_positions())
            after = await self.ask(self.connector.trades_since(None))
            if before.cursor == after.cursor:
                self._adopt_positions(positions)  # no drift: nothing was believed before
                self.oms.book((), after.cursor)
                return
        raise OutcomeUnknown(f"{self.name}: positions would not hold still")

    async def _match_open_orders(self) -> None:
        # Only what was live before the question: an order sent meanwhile is rightly absent.
        ours = [r for r in self.oms.state.live.values() if r.status is not OrderStatus.QUEUED]
        asked = {r.client_id for r in ours if r.status is not OrderStatus.PENDING}
        self._step("reconcile.open_orders")
        listed = {o.client_id: o for o in await self.ask(self.connector.open_orders())}
        page = await self.ask(self.connector.trades_since(self.oms.state.cursor))
        for order in listed.values():
            self._match_found(order, self._unbooked(page))
        self._book(page)
        for client_id in asked - listed.keys():
            await self._settle_absent(client_id)

    def _match_found(self, order: VenueOrder, unbooked: list[Trade]) -> None:
        known = self.oms.state.orders.get(order.client_id)
        if known is None:
            if not self._ids.ours(order.client_id):
                self._notice_foreign(order.client_id)
                return
            coming = sum((t.quantity for t in unbooked if t.client_id == order.client_id), ZERO)
            self.oms.adopt(order, filled=max(ZERO, order.filled - coming))
            self._drift(Drift.ORDER_ADOPTED, order.client_id)
            return
        self.check_body(known, order)
        if known.status.terminal and known.status is not OrderStatus.FILLED:
            # A cancel or fill answered while we were reading is newer than what we read.
            if known.status in (OrderStatus.REJECTED, OrderStatus.EXPIRED):
                self.oms.reopened(order.client_id, "open at the venue")
                self._drift(Drift.ORDER_REOPENED, order.client_id)
        elif known.status is OrderStatus.UNKNOWN:
            self.oms.acknowledged(order)

    def _notice_foreign(self, client_id: str) -> None:
        if client_id not in self._foreign:
            self._foreign.add(client_id)
            self._drift(Drift.ORDER_FOREIGN, client_id)

    async def _settle_absent(self, client_id: str) -> None:
        """Not among the open orders: that is not "unfilled". Ask for the order itself."""
        known = self.oms.state.live.get(client_id)
        if known is None:
            return
        self._step("reconcile.fetch")
        try:
            order = await self.ask(self.connector.fetch_order(known.ref))
        except OrderNotFound:
            self._settle_not_found(known)
            return
        self.check_body(known, order)
        if not order.status.terminal:
            if known.status is OrderStatus.UNKNOWN:
                self.oms.acknowledged(order)
            return
        if known.final is not None and known.filled < known.final[1]:
            # It was closed before this round read the trades to their end, and they are short.
            await self._book_trades()
            if not known.status.terminal:
                self.oms.close_as(client_id, order.status, "closed with fills missing")
                self._drift(Drift.FILLS_MISSING, client_id)
            return
        self.oms.closed(order)

    def _settle_not_found(self, known: OrderRecord) -> None:
        age = self.send_times.age(known.client_id)
        if known.status is not OrderStatus.UNKNOWN:
            self.oms.expired(known.client_id, "the venue no longer knows it")
            self._drift(Drift.ORDER_VANISHED, known.client_id)
        elif age > self.connector.outcome_horizon:
            self.oms.expired(known.client_id, f"never accepted: not found {age:.1f} s after")

    def _next_proof(self) -> float:
        """Seconds until the next unknown order passes its fence."""
        unknown = self.oms.state.with_status(OrderStatus.UNKNOWN)
        oldest = max((self.send_times.age(r.client_id) for r in unknown), default=0.0)
        return max(self.connector.outcome_horizon - oldest, 0.0) + 0.05

    async def _match_positions(self) -> None:
        """Book trades until positions and trades are of one moment, then believe the venue."""
        for _ in range(POSITION_READS):
            moment = (self.oms.state.cursor, self.oms.booked)
            self._step("reconcile.positions")
            positions = await self.ask(self.connector.get_positions())
            await self._book_trades()
            if (self.oms.state.cursor, self.oms.booked) == moment:
                for adjusted in self._adopt_positions(positions):
                    self._drift(Drift.POSITION, adjusted)
                return

    def _adopt_positions(self, positions: Positions) -> list[str]:
        """Believe the venue; returns what that changed, one text a symbol."""
        changed = []
        for symbol in sorted({*positions, *self.oms.state.positions}):
            theirs = positions.get(symbol, ZERO)
            held = self.oms.state.positions.get(symbol, ZERO)
            if held == theirs:
                continue
            quote = self.connector.quote(symbol)
            self.oms.adjust(symbol, theirs, quote.mid if quote else Decimal(0))
            changed.append(f"{symbol}: held {held}, the venue holds {theirs}")
        return changed

    def check_body(self, known: OrderRecord, order: VenueOrder) -> None:
        """Raise :class:`BodyMismatch` if the venue means another order by our id."""
        if known.order.body_hash() != order.order.body_hash():
            raise BodyMismatch(f"{self.name}: {order.client_id} is another order at the venue")

    async def _book_trades(self) -> None:
        while True:
            self._step("reconcile.trades")
            page = await self.ask(self.connector.trades_since(self.oms.state.cursor))
            self._book(page)
            if not page.trades:
                return

    def _book(self, page: TradePage) -> None:
        for trade in self._unbooked(page):
            late = self._clock() - trade.timestamp > STREAM_LAG
            if self.connector.streaming and self.reconciled and late:
                self._drift(Drift.FILL_NOT_STREAMED, f"{trade.client_id}: trade {trade.trade_id}")
        self.oms.book(page.trades, page.cursor)

    def _unbooked(self, page: TradePage) -> list[Trade]:
        return [t for t in page.trades if t.trade_id not in self.oms.state.trades]

    # -- running ---------------------------------------------------------------------------

    async def poll(self) -> Positions:
        """One round: orders, trades, unknowns, positions. Returns the venue's positions."""
        async with self._lock:
            self.require_stream()
            self.send_times.keep(self.oms.state.live)
            await self._match_open_orders()
            positions = await self.ask(self.connector.get_positions())
            if self._drifted(positions):
                await self._match_positions()
            return positions

    def _drifted(self, positions: Positions) -> bool:
        held = self.oms.state.positions
        return any(positions.get(s, ZERO) != held.get(s, ZERO) for s in {*positions, *held})

    async def cancel(self, client_id: str) -> None:
        """Cancel one order. Raises :class:`OrderError`; the order then stays as it was."""
        known = self.oms.state.orders.get(client_id)
        if known is None:
            raise OrderNotFound(f"{self.name}: {client_id} is not an order of this runner")
        self._step("cancel.send")
        answer = await self.ask(self.connector.cancel_order(known.ref))
        self._step("cancel.answered")
        self.oms.closed(answer, "cancelled")
        if not self.connector.streaming:  # else what it filled before is heard, too
            self.wake.set()

    async def cancel_all(self) -> None:
        """Try to cancel every working order; what could not be cancelled is still working."""
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
            self._note_refused(client_id, exc)
        else:
            self.refused_cancels.pop(client_id, None)

    def _note_refused(self, client_id: str, error: OrderError) -> None:
        # A sweep asks four times a second for as long as it takes: say it once. How long a venue
        # wants silence is another number each time.
        silent = f"{self.name} wants no requests for a while; tried again once it takes some"
        why = silent if isinstance(error, VenueThrottled) else str(error)
        if self.refused_cancels.get(client_id) != why:
            log.warning("live_loop.cancel_failed", extra={"order": client_id, "why": why})
        self.refused_cancels[client_id] = why

    def may_rest(self, record: OrderRecord) -> bool:
        """Whether a live order of our book may rest at the venue, by what was learned last."""
        if self._left_by_venue is not None:
            return record.client_id in self._left_by_venue
        return record.status is not OrderStatus.QUEUED

    async def cancel_without_state(self) -> int:
        """Last resort when our own state can't be used: cancel ours at the venue, write nothing.

        Returns how many may still rest there. Raises :class:`OrderError` if it cannot be asked.
        """
        left: set[str] = set()
        for order in await self.ask(self.connector.open_orders()):
            if not self._ids.ours(order.client_id):
                continue
            try:
                await self.ask(self.connector.cancel_order(order.ref))
            except OrderError as exc:
                left.add(order.client_id)
                self._note_refused(order.client_id, exc)
        if self.oms.lost:
            self._left_by_venue = left  # our book can't follow any more
        return len(left)
