"""Lists by page, single orders, fills, balances and the user channel tell one and the same story,
and it is the exchange's, whatever a trader and a crowd do."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from tests.support.venues.coinbase import CoinbaseVenue
from tests.support.venues.coinbase.values import order_uuid
from tests.support.venues.exchange import OrderView
from tests.support_tests.venues.coinbase_fixtures import PRODUCT, Client, client_of

D = Decimal


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with CoinbaseVenue(private_rate=None) as venue:
        venue.exchange.deposit("runner", "USD", D(1_000_000))
        venue.exchange.deposit("runner", "BTC", D(20))
        async with client_of(venue) as client:
            yield client


def any_order(chance: random.Random, number: int, venue: CoinbaseVenue) -> dict[str, Any]:
    price = venue.crowd.prices[PRODUCT] * D(str(round(chance.uniform(0.999, 1.001), 5)))
    size, at = str(D(chance.randint(1, 200)) / 100), str(price.quantize(D("0.01")))
    limit = {"base_size": size, "limit_price": at}
    return {
        "client_order_id": f"mine-{number}",
        "product_id": PRODUCT,
        "side": chance.choice(["BUY", "SELL"]),
        "order_configuration": chance.choice(
            [
                {"limit_limit_gtc": limit},
                {"limit_limit_gtc": limit},
                {"sor_limit_ioc": limit},
                {"limit_limit_fok": limit},
                {"market_market_ioc": {"base_size": size}},
            ]
        ),
    }


async def trade(client: Client, seed: int) -> None:
    chance, made = random.Random(seed), []
    for number in range(80):
        answer = await client.post("/orders", any_order(chance, number, client.venue))
        if answer["success"]:
            made.append(answer["success_response"]["order_id"])
        if made and chance.random() < 0.4:
            ids = chance.sample(made, min(2, len(made)))
            await client.post("/orders/batch_cancel", {"order_ids": ids})
        client.venue.crowd.step()


async def pages(client: Client, path: str, name: str, limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = await client.get(path, limit=limit, cursor=cursor)
        found += page[name]
        cursor = page["cursor"]
        if not cursor:
            return found


def summed(fills: list[dict[str, Any]]) -> dict[str, tuple[Decimal, Decimal, Decimal]]:
    """Size, value and commission by order."""
    sums: dict[str, tuple[Decimal, Decimal, Decimal]] = {}
    for fill in fills:
        size, value, fee = sums.get(fill["order_id"], (D(0), D(0), D(0)))
        more = D(fill["size"])
        sums[fill["order_id"]] = (
            size + more,
            value + more * D(fill["price"]),
            fee + D(fill["commission"]),
        )
    return sums


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_way_of_asking_tells_the_same(client: Client, seed: int) -> None:
    exchange = client.venue.exchange
    async with client.stream("user") as stream:
        await stream.hear_on("subscriptions")
        await trade(client, seed)
        told: dict[str, dict[str, Any]] = {}
        by_id = {order_uuid(order.id): order for order in exchange.orders("runner")}
        while not all(_done(told.get(order_id), order) for order_id, order in by_id.items()):
            for order in await stream.hear_orders(1):
                told[order["order_id"]] = order

    listed = await pages(client, "/orders/historical/batch", "orders", 7)
    fills = await pages(client, "/orders/historical/fills", "fills", 11)
    assert [order["order_id"] for order in listed] == list(by_id)[::-1]
    assert len({fill["entry_id"] for fill in fills}) == len(fills) == len(exchange.fills("runner"))
    sums = summed(fills)
    for order in listed:
        size, value, fees = sums.get(order["order_id"], (D(0), D(0), D(0)))
        assert D(order["filled_size"]) == size == by_id[order["order_id"]].filled
        assert D(order["filled_value"]) == value
        assert D(order["total_fees"]) == fees
        heard = told[order["order_id"]]
        assert heard["status"] == order["status"]
        assert heard["number_of_fills"] == order["number_of_fills"]
        assert (D(heard["filled_value"]), D(heard["total_fees"])) == (value, fees)
    assert {order["status"] for order in listed} >= {"OPEN", "FILLED", "CANCELLED"}

    signed = [(1 if fill["side"] == "BUY" else -1, fill) for fill in fills]
    gained = sum((sign * D(f["size"]) for sign, f in signed), D(0))
    paid = sum(
        (sign * D(f["size"]) * D(f["price"]) + D(f["commission"]) for sign, f in signed), D(0)
    )
    balances = exchange.balances("runner")
    assert (balances["BTC"].total, balances["USD"].total) == (20 + gained, 1_000_000 - paid)


def _done(heard: dict[str, Any] | None, order: OrderView) -> bool:
    """Whether the stream has told as much of an order as there is."""
    return (
        heard is not None
        and D(heard["cumulative_quantity"]) == order.filled
        and (heard["status"] == "OPEN") is order.status.open
        and heard["status"] not in ("PENDING", "CANCEL_QUEUED")
    )
