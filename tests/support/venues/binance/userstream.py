"""The user data stream: what happens to an account, told to who subscribed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.venues.binance import views
from tests.support.venues.binance.sockets import Connection
from tests.support.venues.binance.views import Json, millis, number
from tests.support.venues.exchange import (
    BalanceChanged,
    Cause,
    Deposited,
    Event,
    Exchange,
    OrderChanged,
)


@dataclass(frozen=True, slots=True)
class Subscription:
    id: int
    account: str
    connection: Connection


class UserStreams:
    """``cancel_ids``: by order id, the id that a cancel was given."""

    def __init__(
        self, exchange: Exchange, clock: Callable[[], float], cancel_ids: Mapping[int, str]
    ) -> None:
        self._clock = clock
        self._cancel_ids = cancel_ids
        self._subscriptions: list[Subscription] = []
        exchange.subscribe(self._on_event)

    def subscribe(self, connection: Connection, account: str) -> int:
        """The subscription's id, from 0 on each connection."""
        own = self.of(connection)
        subscription = Subscription(1 + max((s.id for s in own), default=-1), account, connection)
        self._subscriptions.append(subscription)
        return subscription.id

    def unsubscribe(self, connection: Connection, subscription_id: int | None) -> bool:
        """One, or all of the connection's; each is told of its end. False when there is none."""
        ended = [s for s in self.of(connection) if subscription_id in (None, s.id)]
        for subscription in ended:
            event = {"e": "eventStreamTerminated", "E": millis(self._clock())}
            connection.send({"subscriptionId": subscription.id, "event": event})
            self._subscriptions.remove(subscription)
        return bool(ended)

    def forget(self, connection: Connection) -> None:
        self._subscriptions = [s for s in self._subscriptions if s.connection is not connection]

    def of(self, connection: Connection) -> list[Subscription]:
        return [s for s in self._subscriptions if s.connection is connection]

    def _on_event(self, event: Event) -> None:
        account = _account(event)
        concerned = [s for s in self._subscriptions if s.account == account]
        if not concerned:
            return
        payload = self._payload(event)
        fill = isinstance(event, OrderChanged) and event.fill is not None
        for subscription in concerned:
            subscription.connection.tell(
                {"subscriptionId": subscription.id, "event": payload}, fill=fill
            )

    def _payload(self, event: Event) -> Json:
        now = millis(self._clock())
        if isinstance(event, OrderChanged):
            return execution_report(event, now, self._cancel_ids.get(event.order.id))
        if isinstance(event, BalanceChanged):
            held = [
                {"a": asset, "f": number(balance.free), "l": number(balance.locked)}
                for asset, balance in event.balances.items()
            ]
            return {"e": "outboundAccountPosition", "E": now, "u": now, "B": held}
        assert isinstance(event, Deposited), event
        return {
            "e": "balanceUpdate",
            "E": now,
            "a": event.asset,
            "d": number(event.quantity),
            "T": now,
        }


def _account(event: Event) -> str | None:
    """Whom it concerns; nobody in particular: None."""
    if isinstance(event, OrderChanged):
        return event.order.account
    if isinstance(event, BalanceChanged | Deposited):
        return event.account
    return None


def execution_report(event: OrderChanged, now: int, cancel_id: str | None) -> Json:
    order, fill = event.order, event.fill
    cancelled = event.cause is Cause.CANCELED and cancel_id is not None
    report: dict[str, Any] = {
        "e": "executionReport",
        "E": now,
        "s": order.symbol,
        "c": cancel_id if cancelled else order.client_id,
        "S": str(order.side),
        "o": views.order_type(order),
        "f": str(order.force),
        "q": number(order.quantity),
        "p": number(order.price),
        "P": number(None),
        "F": number(None),
        "g": -1,
        "C": order.client_id if cancelled else "",
        "x": str(event.cause),
        "X": str(order.status),
        "r": "NONE",
        "i": order.id,
        "l": number(fill.quantity if fill else None),
        "z": number(order.filled),
        "L": number(fill.price if fill else None),
        "n": number(fill.fee) if fill else "0",
        "N": fill.fee_asset if fill else None,
        "T": millis(order.updated),
        "t": fill.id if fill else -1,
        "I": order.id,
        "w": order.status.open and order.price is not None,
        "m": bool(fill and fill.maker),
        "M": False,
        "O": millis(order.created),
        "Z": number(order.quote_filled),
        "Y": number(fill.quote_quantity if fill else None),
        "Q": number(order.quote_quantity),
        "W": millis(order.created),
        "V": str(order.self_trade),
    }
    return report
