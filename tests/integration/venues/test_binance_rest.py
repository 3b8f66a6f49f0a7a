"""The transport: what is sent, how often, and what each way of failing says about it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.runner.venues.scripted import Handler, Scripted, scripted
from tradepulse_runner.credentials.store import CredentialStore
from tradepulse_runner.errors import (
    CredentialsRefused,
    OrderError,
    OrderRejected,
    OutcomeUnknown,
    VenueDisconnected,
    VenueThrottled,
)
from tradepulse_runner.venues.binance import rest as module
from tradepulse_runner.venues.binance.rest import Call, Rest
from tradepulse_runner.venues.http import NeverSent

PLACE = Call("POST", "/api/v3/order", {"symbol": "BTCUSDT"}, 1, urgent=True, decides=True)
CANCEL = Call("DELETE", "/api/v3/order", {"symbol": "BTCUSDT"}, 1, urgent=True)
READ = Call("GET", "/api/v3/account", {}, 20)
KEY, SECRET = "k" * 64, "s" * 64
NEWER_KEY, NEWER_SECRET = "n" * 64, "t" * 64


def _error(code: int, message: str = "", status: int = 400) -> web.Response:
    return web.json_response({"code": code, "msg": message}, status=status)


def _store(folder: Path) -> CredentialStore:
    _rotate(folder, KEY, SECRET)
    return CredentialStore.open("binance", folder, {})


def _rotate(folder: Path, key: str, secret: str) -> None:
    """As Kubernetes does: both files at once, behind a link."""
    target = folder / f"..{key[:8]}"
    target.mkdir(exist_ok=True)
    (target / "BINANCE_API_KEY").write_text(key)
    (target / "BINANCE_API_SECRET").write_text(secret)
    link = folder / "..new"
    link.symlink_to(target.name)
    link.rename(folder / "..data")
    for name in ("BINANCE_API_KEY", "BINANCE_API_SECRET"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


@contextlib.asynccontextmanager
async def _venue(folder: Path) -> AsyncIterator[tuple[Scripted, Rest]]:
    async with scripted() as server:
        rest = Rest("binance", server.url, _store(folder), recv_window=5000)
        rest.open()
        await rest.measure()
        try:
            yield server, rest
        finally:
            await rest.close()


async def test_a_request_is_signed_over_what_arrives(tmp_path: Path) -> None:
    async with _venue(tmp_path) as (server, rest):
        arrived: list[tuple[str, str]] = []

        async def script(request: web.Request) -> web.Response:
            arrived.append((request.raw_path, request.headers["X-MBX-APIKEY"]))
            return web.json_response({"free": 0.1})

        server.script = script
        call = Call("POST", "/api/v3/order", {"symbol": "１２３ &+%"}, 1, urgent=True)
        answer = await rest.signed(call)
        assert str(answer["free"]) == "0.1"
        assert not isinstance(answer["free"], float)
        [(path, key)] = arrived
        assert key == KEY
        payload, _, signature = path.partition("?")[2].partition("&signature=")
        expected = hmac.new(SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest()
        assert signature == expected
        fields = dict(part.split("=") for part in payload.split("&"))
        assert fields["symbol"] == "%EF%BC%91%EF%BC%92%EF%BC%93%20%26%2B%25"
        assert fields["recvWindow"] == "5000"
        assert abs(int(fields["timestamp"]) / 1000 - time.time()) < 5


async def test_the_timestamp_is_the_servers(tmp_path: Path) -> None:
    async with _venue(tmp_path) as (server, rest):
        server.ahead = 3600.0
        await rest.measure()
        assert rest.clock.now() - time.time() == pytest.approx(3600, abs=1)


async def _reset(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _hang(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def _html(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>hello</html>", content_type="text/html")


async def _cut(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": "100"})
    await answer.prepare(request)
    await answer.write(b'{"orderId":')
    assert request.transport is not None
    request.transport.close()
    return answer


async def _redirect(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=307, headers={"Location": "/elsewhere"})


@pytest.mark.parametrize("fault", [_reset, _hang, _html, _cut, _redirect])
async def test_an_order_without_a_clear_answer_is_unknown_and_sent_once(
    fault: Handler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOTAL_TIMEOUT", 0.5)
    async with _venue(tmp_path) as (server, rest):
        await rest.signed(READ)  # on a warm connection, which some clients repeat a request on
        server.seen.clear()
        server.script = fault
        with pytest.raises(OutcomeUnknown) as caught:
            await rest.signed(PLACE)
        assert server.seen == [("POST", "/api/v3/order")]
        assert "signature" not in str(caught.value)


async def test_without_a_connection_nothing_was_sent(tmp_path: Path) -> None:
    async with _venue(tmp_path) as (server, rest):
        pass
    with pytest.raises(NeverSent):  # closed
        await rest.signed(PLACE)
    rest.open()
    try:
        with pytest.raises(NeverSent) as caught:  # nobody listens there any more
            await rest.signed(PLACE)
        assert isinstance(caught.value, OrderRejected)
        assert isinstance(caught.value, VenueDisconnected)
    finally:
        await rest.close()
    assert server.seen == []


async def test_a_throttle_silences_even_orders(tmp_path: Path) -> None:
    async with _venue(tmp_path) as (server, rest):

        async def throttle(_request: web.Request) -> web.Response:
            answer = _error(-1003, "Too much request weight used", 429)
            answer.headers["Retry-After"] = "30"
            return answer

        server.script = throttle
        with pytest.raises(VenueThrottled):
            await rest.signed(READ)
        for call in (PLACE, CANCEL, READ):
            with pytest.raises(VenueThrottled) as caught:
                await rest.signed(call)
            assert 25 < caught.value.retry_after <= 30
        assert len(server.seen) == 1


async def test_a_used_up_budget_leaves_room_for_orders(tmp_path: Path) -> None:
    async with _venue(tmp_path) as (server, rest):

        async def told(_request: web.Request) -> web.Response:
            return web.json_response({}, headers={"X-MBX-USED-WEIGHT-1M": "5999"})

        server.script = told
        await rest.signed(READ)
        with pytest.raises(VenueThrottled, match="rest is for orders"):
            await rest.signed(READ)
        await rest.signed(PLACE)
        assert [method for method, _ in server.seen] == ["GET", "POST"]


class TestCredentials:
    """One repetition, and only when newer ones are there: the first was certainly refused."""

    @pytest.mark.parametrize("call", [PLACE, READ], ids=["order", "read"])
    async def test_newer_ones_are_signed_with_at_once(self, call: Call, tmp_path: Path) -> None:
        async with _venue(tmp_path) as (server, rest):

            async def script(request: web.Request) -> web.Response:
                if request.headers["X-MBX-APIKEY"] == NEWER_KEY:
                    return web.json_response({"ok": True})
                _rotate(tmp_path, NEWER_KEY, NEWER_SECRET)
                return _error(-2015, "Invalid API-key, IP, or permissions for action.", 401)

            server.script = script
            assert await rest.signed(call) == {"ok": True}
            assert len(server.seen) == 2

    async def test_without_newer_ones_it_is_final(self, tmp_path: Path) -> None:
        async with _venue(tmp_path) as (server, rest):

            async def script(_request: web.Request) -> web.Response:
                return _error(-1022, "Signature for this request is not valid.")

            server.script = script
            with pytest.raises(CredentialsRefused) as caught:
                await rest.signed(PLACE)
            assert len(server.seen) == 1
            for hidden in (KEY, SECRET):
                assert hidden not in f"{caught.value!r} {rest!r}"

    async def test_newer_ones_that_are_refused_too_are_final(self, tmp_path: Path) -> None:
        async with _venue(tmp_path) as (server, rest):

            async def script(_request: web.Request) -> web.Response:
                _rotate(tmp_path, NEWER_KEY, NEWER_SECRET)
                return _error(-2014, "API-key format invalid.", 401)

            server.script = script
            with pytest.raises(CredentialsRefused):
                await rest.signed(PLACE)
            assert len(server.seen) == 2

    async def test_an_order_whose_refusal_came_late_is_not_repeated(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "RESEND_WITHIN", 0.0)
        async with _venue(tmp_path) as (server, rest):

            async def script(_request: web.Request) -> web.Response:
                _rotate(tmp_path, NEWER_KEY, NEWER_SECRET)
                return _error(-2015, "", 401)

            server.script = script
            with pytest.raises(CredentialsRefused):
                await rest.signed(PLACE)
            assert len(server.seen) == 1

    async def test_a_secret_that_cannot_sign_sends_nothing(self, tmp_path: Path) -> None:
        async with _venue(tmp_path) as (server, rest):
            _rotate(tmp_path, NEWER_KEY, _rsa_pem())

            async def script(_request: web.Request) -> web.Response:
                return _error(-2015, "", 401)

            server.script = script
            with pytest.raises(CredentialsRefused, match="Ed25519"):
                await rest.signed(PLACE)
            assert len(server.seen) == 1


def _rsa_pem() -> str:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


class TestClock:
    """-1021: the clock is measured again. Reads and cancels go out once more; an order's decision
    has aged, so whoever made it decides again."""

    @pytest.mark.parametrize("call", [CANCEL, READ], ids=["cancel", "read"])
    async def test_after_a_skew_it_goes_out_with_the_right_time(
        self, call: Call, tmp_path: Path
    ) -> None:
        async with _venue(tmp_path) as (server, rest):
            server.script = _punctual(server)
            server.ahead = 60.0
            assert await rest.signed(call) == {"ok": True}
            assert len(server.seen) == 2

    async def test_an_order_is_refused_and_the_next_one_is_right(self, tmp_path: Path) -> None:
        async with _venue(tmp_path) as (server, rest):
            server.script = _punctual(server)
            server.ahead = -60.0
            with pytest.raises(OrderRejected, match="-1021"):
                await rest.signed(PLACE)
            assert len(server.seen) == 1
            assert await rest.signed(PLACE) == {"ok": True}

    async def test_an_order_stays_refused_though_the_time_cannot_be_read(
        self, tmp_path: Path
    ) -> None:
        async with _venue(tmp_path) as (server, rest):
            server.script = _punctual(server)
            server.ahead, server.timeless = 60.0, True
            with pytest.raises(OrderRejected, match="-1021"):
                await rest.signed(PLACE)

    async def test_a_clock_that_is_wrong_again_is_reported(self, tmp_path: Path) -> None:
        async with _venue(tmp_path) as (server, rest):

            async def script(_request: web.Request) -> web.Response:
                return _error(-1021, "Timestamp for this request is outside of the recvWindow.")

            server.script = script
            with pytest.raises(OrderError, match="-1021"):
                await rest.signed(READ)
            assert len(server.seen) == 2


def _punctual(server: Scripted) -> Handler:
    """Refuses by the documented rule."""

    async def script(request: web.Request) -> web.Response:
        now = (time.time() + server.ahead) * 1000
        stamp = int(request.query["timestamp"])
        if stamp < now + 1000 and now - stamp <= int(request.query["recvWindow"]):
            return web.json_response({"ok": True})
        return _error(-1021, "Timestamp for this request is outside of the recvWindow.")

    return script


async def test_a_server_that_answers_too_slowly_cannot_tell_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradepulse_runner.venues.binance.clock.MAX_ROUND_TRIP", 0.0)
    with pytest.raises(VenueDisconnected, match="too slowly"):
        async with _venue(tmp_path):
            pass
