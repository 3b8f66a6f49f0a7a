"""Events as they are published: JSON with a unique id.

Headers: ``event-id`` (of the event, so a message that is sent twice has the same one),
``content-type``. Key: the symbol, so that events of one symbol stay in order. Money and
quantities are decimal strings, times unix seconds.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tradepulse_runner.config.bus import Stream
from tradepulse_runner.domain import Order, Quote
from tradepulse_runner.files.snapshot import canonical
from tradepulse_runner.oms.state import OrderRecord, order_to_json

ID_HEADER = "event-id"
#: Kinds of journal records that concern an order.
_OF_ORDERS = frozenset({"queued", "intent", "status", "closing", "reopen", "adopt"})


@dataclass(frozen=True, slots=True)
class Event:
    """One event. ``source``: venue and sequence number of its journal record, if it has one."""

    stream: Stream
    key: str
    body: dict[str, Any]
    id: str
    source: tuple[str, int] | None = None

    @property
    def value(self) -> bytes:
        return canonical(self.body)


class EventFactory:
    """Makes events of one runner (``namespace/name``). ``clock`` gives unix seconds."""

    def __init__(self, runner: str, clock: Callable[[], float]) -> None:
        self._runner, self._clock = runner, clock

    def record(
        self, venue: str, seq: int, record: dict[str, Any], order: OrderRecord | None
    ) -> Event | None:
        """The event of a journal record; None for a kind that is not published. ``order``: the
        order concerned, in its state after the record."""
        kind = record["t"]
        source = (venue, seq)
        if kind == "fill":
            trade = record["trade"]
            return self._event(Stream.FILLS, trade["symbol"], "fill", venue, trade, source)
        if kind not in _OF_ORDERS or order is None:
            return None
        facts = _order_facts(order)
        facts.update({name: record[name] for name in ("epoch", "hash", "owner") if name in record})
        return self._event(Stream.ORDERS, order.order.symbol, kind, venue, facts, source)

    def tick(self, venue: str, symbol: str, quote: Quote) -> Event:
        """A tick: best bid and ask."""
        facts = {
            "symbol": symbol,
            "bid": str(quote.bid),
            "ask": str(quote.ask),
            "quoted_at": quote.timestamp,
        }
        return self._event(Stream.TICKS, symbol, "tick", venue, facts)

    def bar(self, venue: str, symbol: str, facts: dict[str, Any]) -> Event:
        """A completed one-minute bar."""
        return self._event(Stream.BARS, symbol, "bar", venue, {"symbol": symbol, **facts})

    def signal(self, venue: str, order: Order) -> Event:
        """The strategy's signal, before any risk check."""
        return self._event(Stream.SIGNALS, order.symbol, "signal", venue, order_to_json(order))

    def _event(
        self,
        stream: Stream,
        key: str,
        kind: str,
        venue: str,
        facts: dict[str, Any],
        source: tuple[str, int] | None = None,
    ) -> Event:
        name = uuid.uuid4().hex
        body = {
            "id": name,
            "event": kind,
            "runner": self._runner,
            "venue": venue,
            "at": self._clock(),
            **({"seq": source[1]} if source else {}),
            **facts,
        }
        return Event(stream, key, body, name, source)


def _order_facts(order: OrderRecord) -> dict[str, Any]:
    return {
        "order_id": order.client_id,
        "venue_id": order.venue_id,
        "status": str(order.status),
        "filled": str(order.filled),
        "reason": order.reason,
        **order_to_json(order.order),
    }
