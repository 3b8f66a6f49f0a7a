"""The HTTP side: routes, tokens, rate limits, and the faults that strike requests."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.support.venues.coinbase import legacy, market
from tests.support.venues.coinbase.brokerage import Brokerage, key_permissions
from tests.support.venues.coinbase.errors import (
    ApiError,
    answer,
    bad_request,
    missing_scope,
    server_error,
    too_many_requests,
    unauthorized,
)
from tests.support.venues.coinbase.limits import RateLimit
from tests.support.venues.coinbase.queries import WORKING, FillQuery, OrderQuery, read_limit
from tests.support.venues.coinbase.tokens import ApiKey, Keyring, TokenRefused
from tests.support.venues.coinbase.values import stamp
from tests.support.venues.exchange import Exchange, Reason, Refused
from tests.support.venues.faults import Fault, Faults
from tests.support.venues.http_faults import Words, strike

PREFIX = "/api/v3/brokerage"
MOST_ACCOUNTS = 250


@dataclass(frozen=True, slots=True)
class Call:
    """One request that was let in. ``key`` is None on public endpoints."""

    request: web.Request
    body: Mapping[str, Any]
    key: ApiKey | None = None

    @property
    def account(self) -> str:
        assert self.key is not None, "only private endpoints have an account"
        return self.key.account

    @property
    def query(self) -> Any:
        return self.request.query


Endpoint = Callable[[Call], Any]
Log = Callable[[web.Request, Mapping[str, Any]], None]


class Rest:
    """``log`` is told of every request before anything is decided about it."""

    def __init__(
        self,
        exchange: Exchange,
        brokerage: Brokerage,
        keyring: Keyring,
        faults: Faults,
        *,
        clock: Callable[[], float],
        private: RateLimit,
        public: RateLimit,
        log: Log,
    ) -> None:
        self._exchange = exchange
        self._brokerage = brokerage
        self._keyring = keyring
        self._faults = faults
        self._clock = clock
        self._private = private
        self._public = public
        self._log = log

    def routes(self) -> list[web.RouteDef]:
        private = [
            ("GET", "/accounts", "account", self._accounts),
            ("GET", "/accounts/{uuid}", "account", self._account),
            ("POST", "/orders", "place", self._create),
            ("POST", "/orders/batch_cancel", "cancel", self._cancel),
            ("GET", "/orders/historical/batch", "orders", self._orders),
            ("GET", "/orders/historical/fills", "trades", self._fills),
            ("GET", "/orders/historical/{order_id}", "query", self._order),
            ("GET", "/transaction_summary", "account", self._summary),
            ("GET", "/key_permissions", "account", self._permissions),
            ("GET", "/best_bid_ask", "market", self._best_bid_ask),
        ]
        both = [
            ("GET", "/products", "market", self._products),
            ("GET", "/products/{product_id}", "market", self._product),
            ("GET", "/product_book", "market", self._book),
        ]
        public = [
            ("GET", f"{PREFIX}/time", "market", self._time),
            *((m, f"{PREFIX}/market{path}", on, do) for m, path, on, do in both),
            ("GET", "/v2/time", "market", lambda _call: legacy.time(self._clock())),
            ("GET", "/v2/currencies", "market", lambda _: legacy.currencies(self._exchange)),
            (
                "GET",
                "/v2/currencies/crypto",
                "market",
                lambda _: legacy.crypto_currencies(self._exchange),
            ),
            ("GET", "/v2/exchange-rates", "market", lambda _: legacy.exchange_rates()),
        ]
        return [
            *(
                web.route(m, PREFIX + path, self._handler(on, do, private=True))
                for m, path, on, do in [*private, *both]
            ),
            *(
                web.route(m, path, self._handler(on, do, private=False))
                for m, path, on, do in public
            ),
        ]

    # -- every request's way in

    def _handler(
        self, on: str, endpoint: Endpoint, *, private: bool
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await _body(request)
            self._log(request, body)
            try:
                key = self._authenticate(request) if private else None
            except TokenRefused:
                return unauthorized()
            taken = self._private.take(key.name) if key else self._public.take(request.remote or "")
            if not taken.passes:
                return too_many_requests(1, taken.headers)
            call = Call(request, body, key)
            response = await strike(
                self._fault(on, request), request, lambda: _answer(endpoint, call), _WORDS
            )
            response.headers.update(taken.headers)
            return response

        return handle

    def _authenticate(self, request: web.Request) -> ApiKey:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            raise TokenRefused("no bearer token")
        bound = f"{request.method} {request.host}{request.rel_url.raw_path}"
        return self._keyring.holder(token, bound)

    def _fault(self, on: str, request: web.Request) -> Fault | None:
        if on == "orders":  # the same endpoint tells what is open and what there has been
            asked = set(request.query.getall("order_status", []))
            on = "open_orders" if asked and asked <= WORKING else "query"
        return self._faults.take(on, *_WORDS.kinds)

    # -- endpoints: private

    def _accounts(self, call: Call) -> Any:
        limit = read_limit(call.query, MOST_ACCOUNTS)
        return self._brokerage.accounts(call.account, limit, call.query.get("cursor", ""))

    def _account(self, call: Call) -> Any:
        wanted = call.request.match_info["uuid"]
        for account in self._brokerage.accounts(call.account, MOST_ACCOUNTS, "")["accounts"]:
            if account["uuid"] == wanted:
                return {"account": account}
        raise ApiError(404, "NOT_FOUND", f"account {wanted} was not found")

    def _create(self, call: Call) -> Any:
        _must_trade(call)
        return self._brokerage.create(call.account, call.body)

    def _cancel(self, call: Call) -> Any:
        _must_trade(call)
        order_ids = call.body.get("order_ids")
        if not isinstance(order_ids, list) or not all(isinstance(i, str) for i in order_ids):
            raise bad_request("order_ids must be a list of strings")
        return self._brokerage.cancel(call.account, order_ids)

    def _orders(self, call: Call) -> Any:
        return self._brokerage.orders(call.account, OrderQuery.read(call.query))

    def _order(self, call: Call) -> Any:
        return self._brokerage.order(call.account, call.request.match_info["order_id"])

    def _fills(self, call: Call) -> Any:
        return self._brokerage.fills(call.account, FillQuery.read(call.query))

    def _summary(self, call: Call) -> Any:
        return self._brokerage.transaction_summary(call.account)

    def _permissions(self, call: Call) -> Any:
        assert call.key is not None, "a private endpoint"
        return key_permissions(call.account, can_trade=call.key.can_trade)

    # -- endpoints: market

    def _time(self, _call: Call) -> Any:
        now = self._clock()
        return {
            "iso": stamp(now),
            "epochSeconds": str(int(now)),
            "epochMillis": str(int(now * 1000)),
        }

    def _products(self, call: Call) -> Any:
        wanted = call.query.getall("product_ids", [])
        spot = call.query.get("product_type", "SPOT") in ("SPOT", "UNKNOWN_PRODUCT_TYPE")
        products = [
            market.product(self._exchange, each)
            for each in self._exchange.markets.values()
            if spot and (not wanted or each.symbol in wanted)
        ]
        return {"products": products, "num_products": len(products)}

    def _product(self, call: Call) -> Any:
        symbol = call.request.match_info["product_id"]
        self._exchange.quote(symbol)
        return market.product(self._exchange, self._exchange.markets[symbol])

    def _book(self, call: Call) -> Any:
        symbol = call.query.get("product_id", "")
        limit = read_limit(call.query, market.DEPTH)
        book = market.price_book(self._exchange, symbol, limit, self._clock())
        return {"pricebook": book, **market.spread(self._exchange, symbol)}

    def _best_bid_ask(self, call: Call) -> Any:
        wanted = call.query.getall("product_ids", []) or list(self._exchange.markets)
        now = self._clock()
        return {"pricebooks": [market.price_book(self._exchange, s, 1, now) for s in wanted]}


def _answer(endpoint: Endpoint, call: Call) -> web.Response:
    try:
        return answer(endpoint(call))
    except ApiError as error:
        return error.response()
    except Refused as refused:
        if refused.reason is not Reason.UNKNOWN_SYMBOL:
            raise
        return ApiError(404, "NOT_FOUND", "Product not found").response()


async def _body(request: web.Request) -> Mapping[str, Any]:
    """The JSON object sent along; {} for anything else, which the endpoints refuse by field."""
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _must_trade(call: Call) -> None:
    if call.key is not None and not call.key.can_trade:
        raise missing_scope()


_WORDS = Words(
    error=lambda: server_error(500),
    throttled=lambda seconds: too_many_requests(max(1, round(seconds)), {}),
)
