"""The endpoints' answers, without HTTP: what Coinbase would say for an account.

Two things here differ from the synchronous exchange behind it, as they do on the venue: a cancel
is only queued when its request returns (``cancel_lag``), and the order history shows an order only
a while after it was accepted (``history_lag``). Both are 0 unless a test sets them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from tests.support.venues.coinbase.errors import bad_request, unknown_order
from tests.support.venues.coinbase.orders import (
    STATUS,
    Executions,
    account_json,
    fill_json,
    new_order,
    order_json,
    refusal,
)
from tests.support.venues.coinbase.paging import BadCursor, page
from tests.support.venues.coinbase.queries import FillQuery, OrderQuery
from tests.support.venues.coinbase.requests import OrderRefused, read_order
from tests.support.venues.coinbase.values import named_uuid, number, order_number, order_uuid
from tests.support.venues.exchange import (
    Event,
    Exchange,
    Fill,
    OrderChanged,
    OrderView,
    Refused,
    Status,
)

FIATS = frozenset({"USD", "EUR", "GBP"})


class Replay(StrEnum):
    """How a ``client_order_id`` that was used before is answered; it never creates an order.

    ECHO: success, the old order's id, and the *new* request's side and configuration. This is what
    the venue was seen to do (coinbase-advanced-py issues 49 and 105), and the treacherous case:
    only fetching the order tells what it really is.
    ORDER: success, and the old order throughout, as the reference of Create Order promises.
    REFUSE: ``DUPLICATE_CLIENT_ORDER_ID``, one of the documented failure reasons.
    """

    ECHO = "echo"
    ORDER = "order"
    REFUSE = "refuse"


@dataclass(slots=True)
class Behaviour:
    """What the documentation leaves open, for tests to set. Lags in seconds."""

    replay: Replay = Replay.ECHO
    cancel_lag: float = 0.0
    history_lag: float = 0.0


@dataclass(slots=True)
class _Memory:
    """What the venue remembers of an order beside what the exchange does."""

    configuration: Mapping[str, Any]
    cancelling: bool = False


@dataclass(slots=True)
class _Tally:
    count: int = 0
    fees: Decimal = field(default_factory=Decimal)
    last_time: float | None = None


class Brokerage:
    """``later(seconds, call)`` runs a call after a lag."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        clock: Callable[[], float],
        later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self.behaviour = Behaviour()
        self.on_cancelling: Callable[[OrderView], None] = lambda _order: None
        self._exchange = exchange
        self._clock = clock
        self._later = later
        self._memory: dict[int, _Memory] = {}
        self._tallies: dict[int, _Tally] = {}
        exchange.subscribe(self._count)

    # -- orders

    def create(self, account: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to ``POST orders``. Raises :class:`ApiError`."""
        configuration = body.get("order_configuration")
        try:
            return self._replayed(account, body) or self._created(account, body)
        except OrderRefused as refused:
            return {
                "success": False,
                "error_response": {
                    "error": refused.reason,
                    "message": refused.message,
                    "error_details": "",
                    "preview_failure_reason": refused.preview,
                    "new_order_failure_reason": refused.reason,
                },
                "order_configuration": configuration,
            }

    def _replayed(self, account: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Whatever the rest of the body says."""
        old = self._exchange.by_client_id(account, str(body.get("client_order_id", "")))
        if not old:
            return None
        order, echo = old[-1], self.behaviour.replay is Replay.ECHO
        if self.behaviour.replay is Replay.REFUSE:
            raise OrderRefused("DUPLICATE_CLIENT_ORDER_ID", "Duplicate client order id")
        return _success(
            order,
            product=body.get("product_id", order.symbol) if echo else order.symbol,
            side=body.get("side", order.side) if echo else order.side,
            configuration=body.get("order_configuration") if echo else self._asked(order),
        )

    def _created(self, account: str, body: Mapping[str, Any]) -> dict[str, Any]:
        request = read_order(body)
        try:
            order = self._exchange.place(account, new_order(request, self._exchange.fee))
        except Refused as refused:
            raise refusal(refused.reason) from refused
        self._memory[order.id] = _Memory(request.echo)
        return _success(order, order.symbol, order.side, request.echo)

    def cancel(self, account: str, order_ids: list[str]) -> dict[str, Any]:
        """The answer to ``POST orders/batch_cancel``."""
        results = []
        for order_id in order_ids:
            failure = self._cancel(account, order_id)
            results.append(
                {
                    "success": failure is None,
                    "failure_reason": failure or "UNKNOWN_CANCEL_FAILURE_REASON",
                    "order_id": order_id,
                }
            )
        return {"results": results}

    def _cancel(self, account: str, order_id: str) -> str | None:
        order = self._find(account, order_id)
        if order is None:
            return "UNKNOWN_CANCEL_ORDER"
        if not order.status.open:
            filled = order.status is Status.FILLED
            return "ORDER_IS_FULLY_FILLED" if filled else "UNKNOWN_CANCEL_ORDER"
        memory = self._memory_of(order)
        if memory.cancelling:
            return "DUPLICATE_CANCEL_REQUEST"
        memory.cancelling = True
        self.on_cancelling(order)
        if self.behaviour.cancel_lag > 0:
            self._later(self.behaviour.cancel_lag, lambda: self._finish_cancel(order))
        else:
            self._finish_cancel(order)
        return None

    def _finish_cancel(self, order: OrderView) -> None:
        self._memory_of(order).cancelling = False
        with contextlib.suppress(Refused):  # filled in the meantime, as it may be on the venue
            self._exchange.cancel(order.account, order.id)

    def order(self, account: str, order_id: str) -> dict[str, Any]:
        """The answer to ``GET orders/historical/{order_id}``. Raises :class:`ApiError`."""
        order = self._find(account, order_id)
        if order is None or not self._visible(order):
            raise unknown_order()
        return {"order": self._json(order)}

    def orders(self, account: str, query: OrderQuery) -> dict[str, Any]:
        """The answer to ``GET orders/historical/batch``, newest first."""
        found = [
            order
            for order in reversed(self._candidates(account, query))
            if self._visible(order) and query.takes(order, self.status_of(order))
        ]
        chosen, cursor = _paged(found, lambda order: order.id, query.limit, query.cursor)
        return {
            "orders": [self._json(order) for order in chosen],
            "sequence": "0",
            "has_next": bool(cursor),
            "cursor": cursor,
        }

    def fills(self, account: str, query: FillQuery) -> dict[str, Any]:
        """The answer to ``GET orders/historical/fills``, newest first."""
        found = [fill for fill in reversed(self._exchange.fills(account)) if query.takes(fill)]
        chosen, cursor = _paged(found, _fill_position, query.limit, query.cursor)
        return {"fills": [fill_json(fill) for fill in chosen], "cursor": cursor}

    # -- accounts

    def accounts(self, account: str, limit: int, cursor: str) -> dict[str, Any]:
        """The answer to ``GET accounts``. Raises :class:`ApiError`."""
        balances = sorted(self._exchange.balances(account).items(), reverse=True)
        numbered = list(zip(range(len(balances), 0, -1), balances, strict=True))
        chosen, after = _paged(numbered, lambda item: item[0], limit, cursor)
        return {
            "accounts": [
                account_json(account, asset, balance, fiat=asset in FIATS)
                for _, (asset, balance) in chosen
            ],
            "has_next": bool(after),
            "cursor": after,
            "size": len(chosen),
        }

    def transaction_summary(self, account: str) -> dict[str, Any]:
        fills = self._exchange.fills(account)
        volume = float(sum((fill.quote_quantity for fill in fills), Decimal(0)))
        fees = float(sum((fill.fee for fill in fills), Decimal(0)))
        rate = number(self._exchange.fee)
        return {
            "total_volume": volume,
            "total_fees": fees,
            "fee_tier": {
                "pricing_tier": "Advanced 1",
                "usd_from": "0",
                "usd_to": "1000",
                "taker_fee_rate": rate,
                "maker_fee_rate": rate,
                "aop_from": "",
                "aop_to": "",
            },
            "margin_rate": None,
            "goods_and_services_tax": None,
            "advanced_trade_only_volume": volume,
            "advanced_trade_only_fees": fees,
            "coinbase_pro_volume": 0,
            "coinbase_pro_fees": 0,
            "total_balance": "",
            "has_promo_fee": False,
        }

    # -- what the user channel shares

    def executions(self, order: OrderView) -> Executions:
        tally = self._tallies.get(order.id, _Tally())
        return Executions(tally.count, tally.fees, tally.last_time)

    def cancelling(self, order: OrderView) -> bool:
        return order.status.open and self._memory_of(order).cancelling

    def status_of(self, order: OrderView) -> str:
        return "CANCEL_QUEUED" if self.cancelling(order) else STATUS[order.status]

    # -- how it is done

    def _candidates(self, account: str, query: OrderQuery) -> list[OrderView]:
        """All orders that ``query`` can mean, oldest first, without looking at a long history."""
        if query.order_ids:
            named = [self._find(account, order_id) for order_id in query.order_ids]
            return sorted((order for order in named if order), key=lambda order: order.id)
        if query.only_working:
            return self._exchange.open_orders(account)
        return self._exchange.orders(account)

    def _find(self, account: str, order_id: str) -> OrderView | None:
        number_at_exchange = order_number(order_id)
        if number_at_exchange is None:
            return None
        try:
            return self._exchange.order(account, number_at_exchange)
        except Refused:
            return None

    def _visible(self, order: OrderView) -> bool:
        return order.created + self.behaviour.history_lag <= self._clock()

    def _memory_of(self, order: OrderView) -> _Memory:
        """An order that was not placed through this door (tests may) gets what it amounts to."""
        return self._memory.setdefault(order.id, _Memory(_configuration(order)))

    def _asked(self, order: OrderView) -> dict[str, Any]:
        return dict(self._memory_of(order).configuration)

    def _json(self, order: OrderView) -> dict[str, Any]:
        return order_json(
            order,
            self.executions(order),
            self._asked(order),
            fee=self._exchange.fee,
            cancelling=self.cancelling(order),
        )

    def _count(self, event: Event) -> None:
        if isinstance(event, OrderChanged) and event.fill is not None:
            tally = self._tallies.setdefault(event.order.id, _Tally())
            tally.count += 1
            tally.fees += event.fill.fee
            tally.last_time = event.fill.time


def key_permissions(account: str, *, can_trade: bool) -> dict[str, Any]:
    return {
        "can_view": True,
        "can_trade": can_trade,
        "can_transfer": False,
        "portfolio_uuid": named_uuid("portfolio", account),
        "portfolio_type": "DEFAULT",
    }


def _success(order: OrderView, product: Any, side: Any, configuration: Any) -> dict[str, Any]:
    return {
        "success": True,
        "success_response": {
            "order_id": order_uuid(order.id),
            "product_id": product,
            "side": side,
            "client_order_id": order.client_id,
            "attached_order_id": "",
        },
        "order_configuration": configuration,
    }


def _configuration(order: OrderView) -> dict[str, Any]:
    if order.price is None:
        return {"market_market_ioc": {"base_size": number(order.quantity)}}
    sizes = {"base_size": number(order.quantity), "limit_price": number(order.price)}
    kind = {"IOC": "sor_limit_ioc", "FOK": "limit_limit_fok"}.get(order.force, "limit_limit_gtc")
    return {kind: sizes}


def _fill_position(fill: Fill) -> int:
    """Falling along the list: an account that trades with itself has two fills of one sequence."""
    return fill.sequence * 2 + (not fill.maker)


def _paged(items: Any, key: Any, limit: int, cursor: str) -> tuple[Any, str]:
    try:
        return page(items, key, limit, cursor)
    except BadCursor as error:
        raise bad_request(str(error)) from error
