"""Order management as a pure state machine: ``state.apply(record)`` and nothing else mutates it.

Records are JSON-able dicts (see the ``_on_*`` methods for their fields). The same records in the
same order give the same state, live or replayed from the journal: that is what makes a crash at
any byte recoverable. Applying a fill twice, or out of order, changes nothing: trades are keyed
by the venue's trade id.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tradepulse_runner.domain import ZERO, Order, OrderRef, OrderStatus, OrderType, Side, Trade
from tradepulse_runner.errors import SchemaTooNew
from tradepulse_runner.files.schema import REMEDY

Record = dict[str, Any]
# Enough history to answer questions about an order just closed; the venue has the rest.
KEEP_CLOSED = 1_000
# Trade ids kept beyond the cursor, for venues whose pages overlap.
KEEP_TRADES = 2_000


@contextlib.contextmanager
def written_elsewhere(where: object) -> Iterator[None]:
    """For the block that reads what another release may have written at ``where``, a file or a
    record of it. Its checksum was right, so what can't be understood is no damage, and must not
    be set aside as damage: :class:`SchemaTooNew` names it."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise SchemaTooNew(
            f"{where}: this release doesn't know what another one wrote there"
            f" ({type(error).__name__}: {error}); {REMEDY}"
        ) from error


@dataclass(slots=True)
class OrderRecord:
    """One of our orders. ``final`` is how the venue closed it (status, cumulative filled); it
    takes effect only when that many fills were booked, so no fill is lost to a quick close."""

    client_id: str
    order: Order
    status: OrderStatus
    epoch: int
    sent_at: float
    filled: Decimal = ZERO
    venue_id: str = ""
    reason: str = ""
    final: tuple[OrderStatus, Decimal] | None = None
    owner: str = ""

    @property
    def ref(self) -> OrderRef:
        return OrderRef(self.client_id, self.order.symbol, self.venue_id, self.sent_at)

    @property
    def remaining(self) -> Decimal:
        return self.order.quantity - self.filled


@dataclass(frozen=True, slots=True)
class Exposure:
    """Worst case of one symbol: position plus everything that may still fill, base units."""

    position: Decimal
    buying: Decimal
    selling: Decimal


@dataclass(slots=True)
class OmsState:
    """The runner's view of one venue's orders and positions. The venue's own data wins over it."""

    orders: dict[str, OrderRecord] = field(default_factory=dict)
    live: dict[str, OrderRecord] = field(default_factory=dict)
    positions: dict[str, Decimal] = field(default_factory=dict)
    cash: Decimal = ZERO
    cursor: str | None = None
    trades: dict[str, None] = field(default_factory=dict)
    day: str = ""
    day_equity: Decimal = ZERO

    # -- reading ---------------------------------------------------------------------------

    def with_status(self, *statuses: OrderStatus) -> list[OrderRecord]:
        return [r for r in self.live.values() if r.status in statuses]

    def working(self) -> list[OrderRecord]:
        """Orders known to rest at the venue."""
        return [r for r in self.live.values() if r.status.working]

    def unresolved(self) -> list[OrderRecord]:
        """Orders that may rest at the venue without an acknowledgement: sent or unknown."""
        return self.with_status(OrderStatus.PENDING, OrderStatus.UNKNOWN)

    def exposure(self, symbol: str, *, without: str = "") -> Exposure:
        """Exposure of ``symbol``, leaving out the order ``without``."""
        buying = selling = ZERO
        for record in self.live.values():
            if record.order.symbol != symbol or record.client_id == without:
                continue
            if record.order.side is Side.BUY:
                buying += record.remaining
            else:
                selling += record.remaining
        return Exposure(self.positions.get(symbol, ZERO), buying, selling)

    def equity(self, marks: dict[str, Decimal]) -> Decimal:
        """Cash plus positions at ``marks`` (quote currency). KeyError if a mark is missing."""
        values = (marks[s] * q for s, q in self.positions.items() if q)
        return self.cash + sum(values, ZERO)

    # -- writing ---------------------------------------------------------------------------

    def apply(self, record: Record) -> None:
        """Apply one record. ValueError for a kind that this release doesn't know."""
        act = getattr(self, f"_on_{record['t']}", None)
        if act is None:
            raise ValueError(f"{record['t']!r} is no kind of record")
        act(record)

    def _on_queued(self, r: Record) -> None:
        entry = OrderRecord(
            r["id"], order_from_json(r["order"]), OrderStatus.QUEUED, r["epoch"], r["ts"]
        )
        entry.owner = r.get("owner", "")  # records of earlier releases lack it
        self._insert(entry)

    def _on_intent(self, r: Record) -> None:
        if entry := self.orders.get(r["id"]):
            entry.sent_at = r["ts"]
            self._set(entry, OrderStatus.PENDING, "")

    def _on_adopt(self, r: Record) -> None:
        """An order of ours that is at the venue but not in the book (lost or restored journal)."""
        if r["id"] in self.orders:
            return
        order = order_from_json(r["order"])
        entry = OrderRecord(r["id"], order, OrderStatus.OPEN, 0, r["ts"], venue_id=r["venue_id"])
        # What filled before it was adopted and is still to come as trades is counted by them;
        # what came as trades already (unattached) must not be counted again.
        entry.filled = Decimal(r["filled"])
        entry.owner = r.get("owner", "")
        self._insert(entry)

    def _on_status(self, r: Record) -> None:
        entry = self.orders.get(r["id"])
        if entry is None:
            return
        status = OrderStatus(r["status"])
        # A fill may have overtaken the acknowledgement: never move back from it.
        if status is OrderStatus.OPEN and (entry.status.terminal or entry.filled > 0):
            status = entry.status if entry.status.terminal else OrderStatus.PARTIALLY_FILLED
        entry.venue_id = r.get("venue_id") or entry.venue_id
        self._set(entry, status, r.get("reason", ""))

    def _on_reopen(self, r: Record) -> None:
        """Closed in the book, open at the venue: the venue is right."""
        if entry := self.orders.get(r["id"]):
            entry.final = None
            partly = entry.filled > 0
            status = OrderStatus.PARTIALLY_FILLED if partly else OrderStatus.OPEN
            self._set(entry, status, r["reason"])

    def _on_closing(self, r: Record) -> None:
        """The venue closed the order having filled ``filled`` of it."""
        if entry := self.orders.get(r["id"]):
            entry.final = (OrderStatus(r["status"]), Decimal(r["filled"]))
            entry.reason = r.get("reason", entry.reason)
            if entry.status in (OrderStatus.PENDING, OrderStatus.UNKNOWN):
                entry.status = OrderStatus.OPEN
            self._settle(entry)

    def _on_fill(self, r: Record) -> None:
        trade = trade_from_json(r["trade"])
        if trade.trade_id in self.trades:
            return
        self.trades[trade.trade_id] = None
        if len(self.trades) > KEEP_TRADES:
            del self.trades[next(iter(self.trades))]
        signed = trade.quantity * trade.side.sign
        self.positions[trade.symbol] = self.positions.get(trade.symbol, ZERO) + signed
        self.cash -= signed * trade.price
        self._pay_fee(trade)
        if entry := self.orders.get(trade.client_id):
            entry.filled += trade.quantity
            self._settle(entry)

    def _pay_fee(self, trade: Trade) -> None:
        if not trade.fee_symbol:
            self.cash -= trade.fee
        else:
            before = self.positions.get(trade.fee_symbol, ZERO)
            self.positions[trade.fee_symbol] = before - trade.fee

    def _on_cursor(self, r: Record) -> None:
        self.cursor = r["cursor"]

    def _on_adjust(self, r: Record) -> None:
        """Take the venue's position as ours, at ``price``, so that equity does not jump."""
        before = self.positions.get(r["symbol"], ZERO)
        quantity = Decimal(r["quantity"])
        self.cash -= (quantity - before) * Decimal(r["price"])
        self.positions[r["symbol"]] = quantity

    def _on_day(self, r: Record) -> None:
        self.day, self.day_equity = r["day"], Decimal(r["equity"])

    def _insert(self, entry: OrderRecord) -> None:
        self.orders[entry.client_id] = entry
        self.live[entry.client_id] = entry

    def _settle(self, entry: OrderRecord) -> None:
        if entry.filled >= entry.order.quantity:
            self._set(entry, OrderStatus.FILLED, entry.reason)
        elif entry.final is not None and entry.filled >= entry.final[1]:
            self._set(entry, entry.final[0], entry.reason)
        elif entry.filled > 0 and entry.status is not OrderStatus.CANCELLED:
            self._set(entry, OrderStatus.PARTIALLY_FILLED, entry.reason)

    def _set(self, entry: OrderRecord, status: OrderStatus, reason: str) -> None:
        entry.status, entry.reason = status, reason
        if not status.terminal:
            self.live[entry.client_id] = entry
        elif self.live.pop(entry.client_id, None) is not None:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        while len(self.orders) - len(self.live) > KEEP_CLOSED:
            oldest = next(cid for cid, r in self.orders.items() if r.status.terminal)
            del self.orders[oldest]

    # -- snapshot --------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        return {
            "orders": [record_to_json(r) for r in self.orders.values()],
            "positions": {s: str(q) for s, q in self.positions.items()},
            "cash": str(self.cash),
            "cursor": self.cursor,
            "trades": list(self.trades),
            "day": self.day,
            "day_equity": str(self.day_equity),
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> OmsState:
        state = cls(
            positions={s: Decimal(q) for s, q in raw["positions"].items()},
            cash=Decimal(raw["cash"]),
            cursor=raw["cursor"],
            trades=dict.fromkeys(raw["trades"]),
            day=raw["day"],
            day_equity=Decimal(raw["day_equity"]),
        )
        for item in raw["orders"]:
            entry = record_from_json(item)
            state.orders[entry.client_id] = entry
            if not entry.status.terminal:
                state.live[entry.client_id] = entry
        return state

    @classmethod
    def replay(cls, records: Iterable[Record]) -> OmsState:
        state = cls()
        for record in records:
            state.apply(record)
        return state


def order_to_json(order: Order) -> dict[str, Any]:
    return {
        "symbol": order.symbol,
        "side": str(order.side),
        "quantity": str(order.quantity),
        "type": str(order.type),
        "price": None if order.price is None else str(order.price),
        "algo": order.algo,
    }


def order_from_json(raw: dict[str, Any]) -> Order:
    return Order(
        raw["symbol"],
        Side(raw["side"]),
        Decimal(raw["quantity"]),
        OrderType(raw["type"]),
        None if raw["price"] is None else Decimal(raw["price"]),
        raw["algo"],
    )


def trade_to_json(trade: Trade) -> dict[str, Any]:
    return {
        "trade_id": trade.trade_id,
        "client_id": trade.client_id,
        "symbol": trade.symbol,
        "side": str(trade.side),
        "price": str(trade.price),
        "quantity": str(trade.quantity),
        "timestamp": trade.timestamp,
        "fee": str(trade.fee),
        "fee_symbol": trade.fee_symbol,
    }


def trade_from_json(raw: dict[str, Any]) -> Trade:
    return Trade(
        raw["trade_id"],
        raw["client_id"],
        raw["symbol"],
        Side(raw["side"]),
        Decimal(raw["price"]),
        Decimal(raw["quantity"]),
        raw["timestamp"],
        # Journals written before there were fees lack both.
        Decimal(raw.get("fee", "0")),
        raw.get("fee_symbol", ""),
    )


def record_to_json(r: OrderRecord) -> dict[str, Any]:
    return {
        "id": r.client_id,
        "order": order_to_json(r.order),
        "status": str(r.status),
        "epoch": r.epoch,
        "sent_at": r.sent_at,
        "filled": str(r.filled),
        "venue_id": r.venue_id,
        "reason": r.reason,
        "final": None if r.final is None else [str(r.final[0]), str(r.final[1])],
        "owner": r.owner,
    }


def record_from_json(raw: dict[str, Any]) -> OrderRecord:
    final = raw["final"]
    return OrderRecord(
        raw["id"],
        order_from_json(raw["order"]),
        OrderStatus(raw["status"]),
        raw["epoch"],
        raw["sent_at"],
        Decimal(raw["filled"]),
        raw["venue_id"],
        raw["reason"],
        None if final is None else (OrderStatus(final[0]), Decimal(final[1])),
        raw.get("owner", ""),
    )
