"""The exchange's memory of orders and fills."""

from __future__ import annotations

from collections import defaultdict

from tests.support.venues.exchange.domain import Fill, Reason, Refused
from tests.support.venues.exchange.order import Order


class Record:
    def __init__(self) -> None:
        self._all: dict[str, dict[int, Order]] = defaultdict(dict)
        self._open: dict[str, dict[int, Order]] = defaultdict(dict)
        self._by_client: dict[tuple[str, str], list[Order]] = defaultdict(list)
        self._fills: dict[str, list[Fill]] = defaultdict(list)
        self._forgotten: set[str] = set()

    def forget(self, account: str) -> None:
        self._forgotten.add(account)

    def add(self, order: Order) -> None:
        self._all[order.account][order.id] = order
        self._open[order.account][order.id] = order
        self._by_client[order.account, order.request.client_id].append(order)

    def close(self, order: Order) -> None:
        del self._open[order.account][order.id]
        if order.account in self._forgotten:
            del self._all[order.account][order.id]
            self._by_client.pop((order.account, order.request.client_id), None)

    def add_fill(self, fill: Fill) -> None:
        if fill.account not in self._forgotten:
            self._fills[fill.account].append(fill)

    def get(self, account: str, order_id: int) -> Order:
        try:
            return self._all[account][order_id]
        except KeyError:
            raise Refused(Reason.UNKNOWN_ORDER, str(order_id)) from None

    def by_client_id(self, account: str, client_id: str, symbol: str | None) -> list[Order]:
        found = self._by_client.get((account, client_id), [])
        return [order for order in reversed(found) if symbol in (None, order.symbol)]

    def open(self, account: str, symbol: str | None) -> list[Order]:
        return [order for order in self._open[account].values() if symbol in (None, order.symbol)]

    def all(self, account: str, symbol: str | None) -> list[Order]:
        return [order for order in self._all[account].values() if symbol in (None, order.symbol)]

    def fills(self, account: str, symbol: str | None) -> list[Fill]:
        return [fill for fill in self._fills[account] if symbol in (None, fill.symbol)]
