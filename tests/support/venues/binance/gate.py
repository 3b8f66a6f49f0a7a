"""What stands between a request and its endpoint: limits, parameters, key, signature, time,
faults. The same for REST and WebSocket API."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.venues.binance import errors
from tests.support.venues.binance.desk import Call, Desk, Endpoint
from tests.support.venues.binance.errors import ApiError
from tests.support.venues.binance.keys import KeyRing
from tests.support.venues.binance.params import Params
from tests.support.venues.faults import Fault, FaultKind, Faults

_AHEAD = 1000  # ms that a timestamp may be ahead of the server's time
_WINDOW = 5000  # ms
_WIDEST = 60000  # ms


class NoAnswer(Exception):
    """The client hears nothing for ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__("no answer")
        self.seconds = seconds


class Reset(Exception):
    """The connection ends without an answer."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """How a request says whose it is: ``payload`` is what was signed, to the byte; ``session`` is
    the account of a WebSocket connection that logged on, whose requests need no signature."""

    api_key: str | None
    payload: bytes
    signature: str | None
    session: str | None = None


class Gate:
    def __init__(self, desk: Desk, keys: KeyRing, faults: Faults) -> None:
        self._desk = desk
        self._keys = keys
        self._faults = faults

    async def pass_through(self, endpoint: Endpoint, params: Params, who: Credentials) -> Any:
        """The endpoint's answer. Raises :class:`ApiError`, :class:`NoAnswer`, :class:`Reset`."""
        self._desk.limits.charge(endpoint.cost(params))
        params.check(endpoint.required, endpoint.optional)
        account = self.authenticate(params, who) if endpoint.signed else ""
        call = Call(params, account)

        def act() -> Any:
            # Looked at again just before matching: a request that was held up on the way, past
            # its recvWindow, must not be carried out.
            if endpoint.signed:
                self._in_time(params)
            return endpoint.act(self._desk, call)

        return await self._under(self._faults.take(endpoint.fault, *_KINDS), act)

    def authenticate(self, params: Params, who: Credentials) -> str:
        """The account. Raises :class:`ApiError`."""
        if who.session is not None and who.signature is None:
            self._in_time(params)
            return who.session
        key = self._keys.find(who.api_key)
        params.need("timestamp")
        if who.signature is None:
            raise errors.mandatory("signature")
        if not who.payload.isascii() or not key.verify(who.payload, who.signature):
            raise ApiError(-1022, "Signature for this request is not valid.")
        self._in_time(params)
        return key.account

    def account_of(self, api_key: str | None) -> str:
        return self._keys.find(api_key).account

    def is_ed25519(self, api_key: str | None) -> bool:
        return self._keys.find(api_key).public is not None

    def _in_time(self, params: Params) -> None:
        sent = params.integer("timestamp")
        if sent is None:
            raise errors.mandatory("timestamp")
        window = params.decimal("recvWindow")
        if window is not None and window > _WIDEST:
            raise ApiError(-1131, f"recvWindow must be less than {_WIDEST}")
        now = self._desk.clock() * 1000
        if sent >= now + _AHEAD:
            raise ApiError(
                -1021, "Timestamp for this request was 1000ms ahead of the server's time."
            )
        if now - sent > (_WINDOW if window is None else window):
            raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")

    async def _under(self, fault: Fault | None, act: Callable[[], Any]) -> Any:
        if fault is None:
            return act()
        kind = FaultKind(fault.kind)
        if kind is FaultKind.DELAY:
            await self._desk.hold(fault.seconds)
            return act()
        if kind in _ACCEPTED:
            with contextlib.suppress(ApiError):
                act()
        raise _ENDINGS[kind](fault)


_ACCEPTED = frozenset(
    {
        FaultKind.TIMEOUT_AFTER_ACCEPT,
        FaultKind.ERROR_AFTER_ACCEPT,
        FaultKind.RESET_AFTER_ACCEPT,
    }
)
_ENDINGS: dict[FaultKind, Callable[[Fault], Exception]] = {
    FaultKind.TIMEOUT_AFTER_ACCEPT: lambda fault: NoAnswer(fault.seconds),
    FaultKind.TIMEOUT_BEFORE_ACCEPT: lambda fault: NoAnswer(fault.seconds),
    FaultKind.ERROR_AFTER_ACCEPT: lambda _: errors.unknown_outcome(accepted=True),
    FaultKind.ERROR_BEFORE_ACCEPT: lambda _: errors.unknown_outcome(accepted=False),
    FaultKind.RESET_AFTER_ACCEPT: lambda _: Reset(),
    FaultKind.THROTTLE: lambda fault: errors.throttled(fault.seconds),
    FaultKind.BAN: lambda fault: errors.throttled(fault.seconds, ban=True),
}
_KINDS = (FaultKind.DELAY, *_ENDINGS)
