"""Every fault, as a client of the Binance venue meets it, and what is true at the exchange then."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.support.venues.binance import BinanceVenue
from tests.support.venues.exchange import Side
from tests.support.venues.faults import Fault
from tests.support_tests.venues.binance_fixtures import Bare, Socket, limit_order


def placed(venue: BinanceVenue) -> int:
    return len(venue.exchange.orders("runner"))


@pytest.mark.parametrize(
    ("kind", "status", "code", "orders"),
    [
        ("error_after_accept", 504, -1007, 1),
        ("error_before_accept", 500, -1006, 0),
        ("throttle", 429, -1003, 0),
        ("ban", 418, -1003, 0),
    ],
)
async def test_answers_that_are_refusals_or_tell_nothing(
    venue: BinanceVenue, bare: Bare, kind: str, status: int, code: int, orders: int
) -> None:
    venue.faults.add(Fault(on="place", kind=kind, seconds=7))
    answer = await bare.order()
    assert (answer.status, answer.code, placed(venue)) == (status, code, orders)
    throttled = kind in ("throttle", "ban")
    assert answer.headers.get("Retry-After") == ("7" if throttled else None)
    assert (await bare.order()).status == 200, "it strikes once"


@pytest.mark.parametrize(
    ("kind", "orders"), [("timeout_after_accept", 1), ("timeout_before_accept", 0)]
)
async def test_answers_that_never_come(
    venue: BinanceVenue, bare: Bare, kind: str, orders: int
) -> None:
    venue.faults.add(Fault(on="place", kind=kind))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bare.order(newClientOrderId="a"), 0.3)
    assert len(venue.requests) == 1, "it did arrive"
    assert placed(venue) == orders


async def test_an_unanswered_request_ends_with_the_connection(
    venue: BinanceVenue, bare: Bare
) -> None:
    venue.faults.add(Fault(on="place", kind="timeout_after_accept", seconds=0.05))
    with pytest.raises(aiohttp.ClientError):
        await bare.order()
    assert placed(venue) == 1


async def test_a_reset_after_the_order_was_taken(venue: BinanceVenue, bare: Bare) -> None:
    venue.faults.add(Fault(on="place", kind="reset_after_accept"))
    with pytest.raises(aiohttp.ClientError):
        await bare.order()
    assert placed(venue) == 1


async def test_a_delay_past_the_window_is_a_refusal_before_matching(
    venue: BinanceVenue, bare: Bare
) -> None:
    venue.faults.add(Fault(on="place", kind="delay", seconds=0.2, times=2))
    late = await bare.order(recvWindow=100)
    assert (late.code, placed(venue)) == (-1021, 0)
    assert (await bare.order(recvWindow=5000)).status == 200


@pytest.mark.parametrize(
    ("on", "method", "path"),
    [
        ("cancel", "DELETE", "order?symbol=BTCUSDT&orderId=1"),
        ("query", "GET", "order?symbol=BTCUSDT&orderId=1"),
        ("open_orders", "GET", "openOrders?"),
        ("trades", "GET", "myTrades?symbol=BTCUSDT"),
        ("account", "GET", "account?"),
        ("market", "GET", "ticker/price?"),
        ("any", "GET", "account?"),
    ],
)
async def test_each_kind_of_request_has_its_faults(
    venue: BinanceVenue, bare: Bare, on: str, method: str, path: str
) -> None:
    venue.faults.add(Fault(on=on, kind="error_before_accept"))
    name, _, query = path.partition("?")
    params = dict(pair.split("=") for pair in query.split("&") if pair)
    answer = await bare(method, name, signed=on != "market", **params)
    assert (answer.status, answer.code) == (500, -1006)


async def test_an_accepted_cancel_that_is_answered_with_an_error(
    venue: BinanceVenue, bare: Bare
) -> None:
    order = (await bare.order()).body
    venue.faults.add(Fault(on="cancel", kind="error_after_accept"))
    answer = await bare("DELETE", "order", symbol="BTCUSDT", orderId=order["orderId"])
    assert answer.code == -1007
    assert venue.exchange.open_orders("runner") == []


# -- the socket


async def test_the_sockets_answers_fail_in_the_same_ways(
    venue: BinanceVenue, socket: Socket
) -> None:
    venue.faults.add(Fault(on="place", kind="error_after_accept"))
    answer = await socket.ask("order.place", **limit_order())
    assert (answer["status"], answer["error"]["code"], placed(venue)) == (504, -1007, 1)
    venue.faults.add(Fault(on="place", kind="throttle", seconds=3))
    throttled = await socket.ask("order.place", **limit_order())
    data = throttled["error"]["data"]
    assert (throttled["status"], data["retryAfter"] - data["serverTime"]) == (429, 3000)


async def test_a_socket_request_that_hangs_holds_up_no_other(
    venue: BinanceVenue, socket: Socket
) -> None:
    venue.faults.add(Fault(on="place", kind="timeout_after_accept"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(socket.ask("order.place", **limit_order()), 0.2)
    assert placed(venue) == 1
    assert (await socket.ask("time", key=None))["status"] == 200


async def test_a_socket_that_is_reset(venue: BinanceVenue, socket: Socket) -> None:
    venue.faults.add(Fault(on="place", kind="reset_after_accept"))
    with pytest.raises(TypeError):
        await socket.ask("order.place", **limit_order())
    assert socket.ws.closed
    assert placed(venue) == 1


async def test_an_answer_said_twice(venue: BinanceVenue, socket: Socket) -> None:
    venue.faults.add(Fault(on="place", kind="duplicate_ack"))
    first = await socket.ask("order.place", **limit_order())
    assert await socket.until(lambda message: message.get("id") == first["id"]) == first
    assert placed(venue) == 1


# -- streams


async def events_of_a_fill(venue: BinanceVenue, socket: Socket) -> list[tuple[str, str]]:
    """What is heard of two orders that are filled, and then of a deposit."""
    await socket.ask("userDataStream.subscribe.signature")
    for name in ("a", "b"):
        await socket.ask("order.place", **limit_order(price="59999", newClientOrderId=name))
        venue.crowd.take("BTCUSDT", Side.SELL, Decimal("0.01"))
    venue.exchange.deposit("runner", "ETH", Decimal(1))
    await socket.event("balanceUpdate")
    events: list[dict[str, Any]] = [m["event"] for m in socket.seen if "event" in m]
    return [(e["c"], e["x"]) for e in events if e["e"] == "executionReport"]


@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        (None, [("a", "NEW"), ("a", "TRADE"), ("b", "NEW"), ("b", "TRADE")]),
        ("drop_fills", [("a", "NEW"), ("b", "NEW"), ("b", "TRADE")]),
        (
            "duplicate_ack",
            [("a", "NEW"), ("a", "NEW"), ("a", "TRADE"), ("b", "NEW"), ("b", "TRADE")],
        ),
    ],
)
async def test_streams_that_drop_or_repeat(
    venue: BinanceVenue, socket: Socket, fault: str | None, heard: list[tuple[str, str]]
) -> None:
    if fault is not None:
        venue.faults.add(Fault(on="stream", kind=fault))
    assert await events_of_a_fill(venue, socket) == heard


async def test_a_stream_that_reorders(venue: BinanceVenue, socket: Socket) -> None:
    await socket.ask("userDataStream.subscribe.signature")
    venue.faults.add(Fault(on="stream", kind="reorder_stream"))
    venue.exchange.deposit("runner", "BTC", Decimal(1))
    kinds = [(await socket.until(lambda m: "event" in m))["event"]["e"] for _ in range(2)]
    assert kinds == ["outboundAccountPosition", "balanceUpdate"]


async def test_a_stream_falls_silent_and_speaks_again(venue: BinanceVenue, socket: Socket) -> None:
    await socket.ask("userDataStream.subscribe.signature")
    venue.faults.add(Fault(on="stream", kind="silence_stream", seconds=60))
    venue.exchange.deposit("runner", "BTC", Decimal(1))
    venue.clock_skew = 61.0
    venue.exchange.deposit("runner", "BTC", Decimal(2))
    assert (await socket.event("balanceUpdate"))["d"] == "2.00000000"


async def test_streams_that_are_cut_say_so_and_come_back(
    venue: BinanceVenue, socket: Socket, http: aiohttp.ClientSession
) -> None:
    async with http.ws_connect(f"{venue.stream_url}/ws/btcusdt@trade") as market:
        await socket.ask("userDataStream.subscribe.signature")
        venue.faults.add(Fault(on="stream", kind="cut_stream"))
        assert (await socket.until(lambda m: "event" in m))["event"]["e"] == "serverShutdown"
        assert (await market.receive_json(timeout=10))["e"] == "serverShutdown"
        for ws in (socket.ws, market):
            assert (await ws.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE
    async with http.ws_connect(venue.ws_api_url) as ws:
        again = Socket(ws)
        assert (await again.ask("userDataStream.subscribe.signature"))["status"] == 200


async def test_streams_can_be_cut_without_a_word(venue: BinanceVenue, socket: Socket) -> None:
    await socket.ask("ping", key=None)
    venue.cut_streams(announced=False)
    message = await socket.ws.receive(timeout=10)
    assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


async def test_requests_are_refused_by_a_clock_that_jumps(venue: BinanceVenue, bare: Bare) -> None:
    venue.clock_skew = 60.0
    assert (await bare.order()).code == -1021
    answer = await bare.order(timestamp=int((time.time() + 60) * 1000))
    assert answer.status == 200
