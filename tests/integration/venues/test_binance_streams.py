"""Streams: one connection takes over from another, and a loss is always told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from tests.support.runner.runner_fixtures import until
from tests.support.runner.venues.binance_json import REPORT
from tests.support.runner.venues.scripted import Scripted, scripted
from tradepulse_runner.credentials.store import CredentialStore
from tradepulse_runner.domain import OrderStatus, Quote, VenueEvent, VenueOrder
from tradepulse_runner.errors import CredentialsRefused, OrderError, VenueThrottled
from tradepulse_runner.venues.binance import sockets
from tradepulse_runner.venues.binance.market_stream import MarketStream
from tradepulse_runner.venues.binance.rest import Rest
from tradepulse_runner.venues.binance.sockets import Socket, Stream, open_socket
from tradepulse_runner.venues.binance.trades import Owners
from tradepulse_runner.venues.binance.user_stream import UserStream
from tradepulse_runner.venues.binance.wire import Fees

SHUTDOWN = {"event": {"e": "serverShutdown", "E": 1770123456789}}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "PAUSE", 0.01)


class Peer:
    """The other end: all connections that were opened, and what each was sent."""

    def __init__(self, server: Scripted) -> None:
        self.sockets: list[web.WebSocketResponse] = []
        self.requests: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []  # to subscriptions, in order; then status 200
        self.refuse = 0  # HTTP status of handshakes, if any
        self.pong = True
        server.script = self._serve

    @property
    def alive(self) -> list[web.WebSocketResponse]:
        return [socket for socket in self.sockets if not socket.closed]

    async def say(self, message: Any, which: int = -1) -> None:
        await self.sockets[which].send_str(json.dumps(message))

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self.refuse:
            return web.Response(status=self.refuse, headers={"Retry-After": "17"})
        socket = web.WebSocketResponse(autoping=self.pong)
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            if message.type is web.WSMsgType.TEXT:
                asked = json.loads(message.data)
                self.requests.append(asked)
                answer = self.answers.pop(0) if self.answers else {"status": 200, "result": {}}
                await socket.send_str(json.dumps({"id": asked["id"], **answer}))
        return socket


class Ears:
    """What a stream told."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.lost: list[str] = []


@contextlib.asynccontextmanager
async def _rest(server: Scripted) -> AsyncIterator[Rest]:
    environment = {"BINANCE_API_KEY": "k" * 64, "BINANCE_API_SECRET": "s" * 64}
    store = CredentialStore.open("binance", None, environment)
    rest = Rest("binance", server.url, store, recv_window=5000)
    rest.open()
    await rest.measure()
    try:
        yield rest
    finally:
        await rest.close()


@contextlib.asynccontextmanager
async def _running(
    *, forever: bool = False, max_age: float = 3600.0, on: Callable[[Any], None] | None = None
) -> AsyncIterator[tuple[Peer, Stream, Ears, asyncio.Task[None]]]:
    async with scripted() as server, _rest(server) as rest:
        peer, ears = Peer(server), Ears()

        async def dial() -> Socket:
            return await open_socket(rest, f"{server.ws_url}/x")

        stream = Stream(
            "test", dial, on or ears.heard.append, ears.lost.append, forever=forever,
            max_age=max_age,
        )  # fmt: skip
        await stream.start()
        work = asyncio.create_task(stream.run())
        try:
            yield peer, stream, ears, work
        finally:
            work.cancel()
            await asyncio.wait({work})
            await until(lambda: not peer.alive)  # nothing is left open behind


async def test_the_next_connection_is_open_before_the_last_is_closed() -> None:
    async with _running() as (peer, stream, ears, _):
        await peer.say(1)
        await until(lambda: ears.heard == [1])
        stream.renew("announced")
        await until(lambda: len(peer.sockets) == 2)
        first, second = peer.sockets
        await second.send_str("2")
        await until(lambda: first.closed)
        await second.send_str("3")
        await until(lambda: ears.heard == [1, 2, 3])
        assert ears.lost == []
        assert stream.open


async def test_an_old_connection_is_replaced_before_the_venue_ends_it() -> None:
    async with _running(max_age=0.05) as (peer, _, ears, _work):
        await until(lambda: len(peer.sockets) >= 4)
        assert ears.lost == []


async def test_a_connection_that_ends_unannounced_is_a_loss() -> None:
    async with _running() as (peer, stream, ears, work):
        await peer.sockets[0].close()
        await asyncio.wait({work}, timeout=5)
        assert work.done()
        assert ears.lost == ["closed (1000)"]
        assert not stream.open
        assert len(peer.sockets) == 1


async def test_when_nothing_takes_over_in_time_it_is_a_loss() -> None:
    async with _running() as (peer, stream, ears, work):
        peer.refuse = 503
        stream.renew("announced")
        await peer.sockets[0].close()
        await asyncio.wait({work}, timeout=10)
        assert work.done()
        assert len(ears.lost) == 1


async def test_a_peer_that_does_not_answer_pings_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "HEARTBEAT", 0.2)
    async with scripted() as server, _rest(server) as rest:
        deaf = Peer(server)
        deaf.pong = False
        ears = Ears()

        async def dial() -> Socket:
            return await open_socket(rest, f"{server.ws_url}/x")

        stream = Stream("test", dial, ears.heard.append, ears.lost.append, forever=False)
        await stream.start()
        await asyncio.wait_for(stream.run(), 10)
        assert len(ears.lost) == 1


async def test_what_cannot_be_used_is_a_loss() -> None:
    def fail(_message: Any) -> None:
        raise KeyError("x")

    async with _running(on=fail) as (peer, _, ears, work):
        await peer.say({})
        await asyncio.wait({work}, timeout=5)
        assert ears.lost == ["KeyError: 'x'"]


async def test_a_stream_that_runs_for_ever_dials_again() -> None:
    async with _running(forever=True) as (peer, _, ears, _work):
        await peer.sockets[0].close()
        await until(lambda: len(peer.sockets) == 2)
        await peer.say("back")
        await until(lambda: ears.heard == ["back"])
        assert len(ears.lost) == 1


async def test_a_throttled_handshake_silences_everything() -> None:
    async with scripted() as server, _rest(server) as rest:
        Peer(server).refuse = 429
        with pytest.raises(VenueThrottled) as caught:
            await open_socket(rest, f"{server.ws_url}/x")
        assert caught.value.retry_after == 17
        with pytest.raises(VenueThrottled):
            rest.limits.silence.require_over()


# -- user stream ---------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _user() -> AsyncIterator[tuple[Peer, UserStream, list[VenueEvent], Ears]]:
    async with scripted() as server, _rest(server) as rest:
        peer, ears = Peer(server), Ears()
        told: list[VenueEvent] = []
        stream = UserStream(
            "binance", rest, f"{server.ws_url}/ws-api/v3", Owners(), Fees(()),
            emit=told.append, lost=ears.lost.append,
        )  # fmt: skip
        yield peer, stream, told, ears


async def test_it_subscribes_with_a_signature_and_tells_orders() -> None:
    async with _user() as (peer, stream, told, ears):
        await stream.start()
        work = asyncio.create_task(stream.run())
        [request] = peer.requests
        assert request["method"] == "userDataStream.subscribe.signature"
        params = request["params"]
        assert params.keys() == {"apiKey", "timestamp", "recvWindow", "signature"}
        assert type(params["timestamp"]) is int
        # A market order by quote quantity, as only another program sends it, has no quantity yet.
        await peer.say({"subscriptionId": 0, "event": {**REPORT, "q": "0.00000000"}})
        await peer.say({"subscriptionId": 0, "event": REPORT})
        await until(lambda: told)
        [order] = told
        assert isinstance(order, VenueOrder)
        assert order.status is OrderStatus.OPEN
        await peer.say(SHUTDOWN)
        await until(lambda: len(peer.requests) == 2 and peer.sockets[0].closed)
        assert ears.lost == []
        await peer.say({"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": 1}})
        await asyncio.wait({work}, timeout=5)
        assert work.done()
        assert len(ears.lost) == 1


@pytest.mark.parametrize(
    ("code", "error"), [(-2015, CredentialsRefused), (-1003, VenueThrottled), (-1102, OrderError)]
)
async def test_a_refused_subscription_is_reported(code: int, error: type[Exception]) -> None:
    async with _user() as (peer, stream, _, _ears):
        peer.answers = [{"status": 400, "error": {"code": code, "msg": "no"}}]
        with pytest.raises(error, match=str(code)):
            await stream.start()
        await until(lambda: not peer.alive)


async def test_a_wrong_timestamp_is_measured_again() -> None:
    async with _user() as (peer, stream, _, _ears):
        peer.answers = [{"status": 400, "error": {"code": -1021, "msg": "outside"}}]
        await stream.start()
        assert len(peer.requests) == 2


# -- market stream -------------------------------------------------------------------------


async def test_quotes_come_from_the_stream_and_an_older_update_changes_nothing() -> None:
    async with scripted() as server, _rest(server) as rest:
        peer = Peer(server)
        quotes: dict[str, Quote] = {}
        stream = MarketStream("b", rest, server.ws_url, ["BNBUSDT"], quotes, lambda: 5.0)
        await stream.start()
        work = asyncio.create_task(stream.run())

        def told(update: int, bid: str) -> dict[str, Any]:
            data = {"u": update, "s": "BNBUSDT", "b": bid, "B": "1", "a": "30", "A": "1"}
            return {"stream": "bnbusdt@bookTicker", "data": data}

        assert server.seen == [("GET", "/stream")]
        for update, bid in ((10, "25"), (9, "20"), (11, "26")):
            await peer.say(told(update, bid))
        await until(lambda: quotes and quotes["BNBUSDT"].bid == 26)
        await peer.say({"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": 1}})
        await until(lambda: len(peer.sockets) == 2 and peer.sockets[0].closed)
        await peer.say(told(10, "21"))  # the new one begins behind the old one
        await peer.say(told(12, "27"))
        await until(lambda: quotes["BNBUSDT"].bid == 27)
        work.cancel()
        await asyncio.wait({work})


async def test_a_deaf_stream_is_found_by_prices_that_move_without_it() -> None:
    async with scripted() as server, _rest(server) as rest:
        peer = Peer(server)
        serve, price = server.script, 100

        async def script(request: web.Request) -> web.StreamResponse:
            nonlocal price
            if request.path != "/api/v3/ticker/bookTicker":
                return await serve(request)
            price += 1
            raw = {"symbol": "BNBUSDT", "bidPrice": str(price), "askPrice": str(price + 1)}
            return web.json_response([raw])

        server.script = script
        quotes: dict[str, Quote] = {}
        now = 0.0
        stream = MarketStream("b", rest, server.ws_url, ["BNBUSDT"], quotes, lambda: now)
        await stream.start()
        work = asyncio.create_task(stream.run())
        assert stream.stale() == ["BNBUSDT"]
        await stream.read()
        assert stream.stale() == []
        now = 2.5
        assert stream.stale() == ["BNBUSDT"]
        for _ in range(5):
            await stream.read(["BNBUSDT"])
        assert quotes["BNBUSDT"].bid == price
        await until(lambda: len(peer.sockets) == 2)
        work.cancel()
        await asyncio.wait({work})
