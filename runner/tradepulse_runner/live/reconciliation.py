"""Reconciliation: makes one order book agree with its venue, at the start and at every poll.

The venue is the truth. Reading order matters: open orders first, trades after. A fill between the
two is then seen twice (and booked once) instead of never.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum

from tradepulse_runner.domain import ZERO, OrderStatus, Positions, Trade, TradePage, VenueOrder
from tradepulse_runner.errors import OrderNotFound, OutcomeUnknown
from tradepulse_runner.files.snapshot import Step, no_fault
from tradepulse_runner.live.session import VenueSession
from tradepulse_runner.live.signals import Signal
from tradepulse_runner.oms.state import OrderRecord

log = logging.getLogger(__name__)
#: Attempts to read positions between which no trade happens.
POSITION_READS = 10
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


class Reconciliation:
    """Makes the book of ``session`` agree with its venue. ``clock`` gives unix seconds.

    ``on_drift`` is emitted with the venue's name, the kind and a detail for each difference.
    """

    def __init__(
        self,
        session: VenueSession,
        *,
        on_drift: Signal[[str, Drift, str]],
        clock: Callable[[], float],
        step: Step = no_fault,
    ) -> None:
        self._session, self._on_drift = session, on_drift
        self._oms, self._connector, self._ask = session.oms, session.connector, session.ask
        self._clock, self._step = clock, step
        self._lock = asyncio.Lock()
        self._foreign: set[str] = set()

    async def reconcile(self) -> None:
        """Make the local state agree with the venue; returns when nothing is unknown.

        Nothing may be sent meanwhile. Raises :class:`OrderError` when a request to the venue fails.
        """
        async with self._lock:
            if self._oms.state.cursor is None:
                await self._initialise()
            while True:
                self._session.require_stream()
                await self._match_open_orders()
                await self._book_trades()
                if not self._oms.state.with_status(OrderStatus.UNKNOWN):
                    break
                await asyncio.sleep(self._seconds_to_next_proof())
            await self._match_positions()
            self._session.require_stream()

    async def poll(self) -> Positions:
        """One round: orders, trades, unknowns, positions. Returns the venue's positions."""
        async with self._lock:
            self._session.require_stream()
            self._session.send_times.keep(self._oms.state.live)
            await self._match_open_orders()
            positions = await self._ask(self._connector.get_positions())
            if self._drifted(positions):
                await self._match_positions()
            return positions

    async def _initialise(self) -> None:
        """An empty book: take positions and the trade cursor between which no trade happened."""
        for _ in range(POSITION_READS):
            before = await self._ask(self._connector.trades_since(None))
            positions = await self._ask(self._connector.get_positions())
            after = await self._ask(self._connector.trades_since(None))
            if before.cursor == after.cursor:
                self._adopt_positions(positions)  # no drift: there was no position before
                self._oms.book((), after.cursor)
                return
        raise OutcomeUnknown(f"{self._session.name}: trades go on while positions are read")

    async def _match_open_orders(self) -> None:
        # Only what was live before the request: an order sent meanwhile is rightly absent.
        ours = [r for r in self._oms.state.live.values() if r.status is not OrderStatus.QUEUED]
        asked = {r.client_id for r in ours if r.status is not OrderStatus.PENDING}
        self._step("reconcile.open_orders")
        listed = {o.client_id: o for o in await self._ask(self._connector.open_orders())}
        page = await self._ask(self._connector.trades_since(self._oms.state.cursor))
        for order in listed.values():
            self._match_listed(order, self._unbooked(page))
        self._book(page)
        for client_id in asked - listed.keys():
            await self._settle_absent(client_id)

    def _match_listed(self, order: VenueOrder, unbooked: list[Trade]) -> None:
        known = self._oms.state.orders.get(order.client_id)
        if known is None:
            if not self._session.ids.ours(order.client_id):
                self._report_foreign(order.client_id)
                return
            coming = sum((t.quantity for t in unbooked if t.client_id == order.client_id), ZERO)
            self._oms.adopt(order, filled=max(ZERO, order.filled - coming))
            self._drift(Drift.ORDER_ADOPTED, order.client_id)
            return
        self._session.check_body(known, order)
        if known.status.terminal and known.status is not OrderStatus.FILLED:
            # A cancel or fill answered while we were reading is newer than what we read.
            if known.status in (OrderStatus.REJECTED, OrderStatus.EXPIRED):
                self._oms.reopened(order.client_id, "open at the venue")
                self._drift(Drift.ORDER_REOPENED, order.client_id)
        elif known.status is OrderStatus.UNKNOWN:
            self._oms.acknowledged(order)

    def _report_foreign(self, client_id: str) -> None:
        if client_id not in self._foreign:
            self._foreign.add(client_id)
            self._drift(Drift.ORDER_FOREIGN, client_id)

    async def _settle_absent(self, client_id: str) -> None:
        """Settle an order that isn't among the open ones by reading the order itself: being absent
        doesn't prove that it did not fill."""
        known = self._oms.state.live.get(client_id)
        if known is None:
            return
        self._step("reconcile.fetch")
        try:
            order = await self._ask(self._connector.fetch_order(known.ref))
        except OrderNotFound:
            self._settle_not_found(known)
            return
        self._session.check_body(known, order)
        if not order.status.terminal:
            if known.status is OrderStatus.UNKNOWN:
                self._oms.acknowledged(order)
            return
        if known.final is not None and known.filled < known.final[1]:
            # It was closed before this round read the trades to their end, and they are short.
            await self._book_trades()
            if not known.status.terminal:
                self._oms.close_as(client_id, order.status, "closed with fills missing")
                self._drift(Drift.FILLS_MISSING, client_id)
            return
        self._oms.closed(order)

    def _settle_not_found(self, known: OrderRecord) -> None:
        age = self._session.send_times.age(known.client_id)
        if known.status is not OrderStatus.UNKNOWN:
            self._oms.expired(known.client_id, "the venue no longer knows it")
            self._drift(Drift.ORDER_VANISHED, known.client_id)
        elif age > self._connector.outcome_horizon:
            self._oms.expired(known.client_id, f"never accepted: not found {age:.1f} s after")

    def _seconds_to_next_proof(self) -> float:
        """Seconds until the oldest unknown order passes the venue's ``outcome_horizon``."""
        unknown = self._oms.state.with_status(OrderStatus.UNKNOWN)
        oldest = max((self._session.send_times.age(r.client_id) for r in unknown), default=0.0)
        return max(self._connector.outcome_horizon - oldest, 0.0) + 0.05

    async def _match_positions(self) -> None:
        """Book trades until positions and trades agree in time, then adopt the venue's
        positions."""
        for _ in range(POSITION_READS):
            moment = (self._oms.state.cursor, self._oms.booked)
            self._step("reconcile.positions")
            positions = await self._ask(self._connector.get_positions())
            await self._book_trades()
            if (self._oms.state.cursor, self._oms.booked) == moment:
                for adjusted in self._adopt_positions(positions):
                    self._drift(Drift.POSITION, adjusted)
                return

    def _adopt_positions(self, positions: Positions) -> list[str]:
        """Take over the venue's positions. Returns a description of each change, one a symbol."""
        changed = []
        for symbol in sorted({*positions, *self._oms.state.positions}):
            theirs = positions.get(symbol, ZERO)
            ours = self._oms.state.positions.get(symbol, ZERO)
            if ours == theirs:
                continue
            quote = self._connector.quote(symbol)
            self._oms.adjust(symbol, theirs, quote.mid if quote else Decimal(0))
            changed.append(f"{symbol}: book {ours}, venue {theirs}")
        return changed

    async def _book_trades(self) -> None:
        while True:
            self._step("reconcile.trades")
            page = await self._ask(self._connector.trades_since(self._oms.state.cursor))
            self._book(page)
            if not page.trades:
                return

    def _book(self, page: TradePage) -> None:
        for trade in self._unbooked(page):
            late = self._clock() - trade.timestamp > STREAM_LAG
            if self._connector.streaming and self._session.reconciled and late:
                self._drift(Drift.FILL_NOT_STREAMED, f"{trade.client_id}: trade {trade.trade_id}")
        self._oms.book(page.trades, page.cursor)

    def _unbooked(self, page: TradePage) -> list[Trade]:
        return [t for t in page.trades if t.trade_id not in self._oms.state.trades]

    def _drifted(self, positions: Positions) -> bool:
        ours = self._oms.state.positions
        return any(positions.get(s, ZERO) != ours.get(s, ZERO) for s in {*positions, *ours})

    def _drift(self, kind: Drift, detail: str) -> None:
        details = {"venue": self._session.name, "kind": str(kind), "detail": detail}
        log.warning("live_loop.drift", extra=details)
        self._on_drift.emit(self._session.name, kind, detail)
