"""Faults of requests as HTTP shows them: answers that never come, or say too little."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from tests.support.venues.faults import Fault, FaultKind


@dataclass(frozen=True, slots=True)
class Words:
    """A venue's words for a failure of its own, and for a client that asks too often
    (given the seconds to wait)."""

    error: Callable[[], web.Response]
    throttled: Callable[[float], web.Response]

    @property
    def kinds(self) -> tuple[FaultKind, ...]:
        """What :func:`strike` can do."""
        return _KINDS


async def strike(
    fault: Fault | None, request: web.Request, act: Callable[[], web.Response], words: Words
) -> web.Response:
    """Carry ``act`` out, or not, and answer, or not, as ``fault`` says."""
    if fault is None:
        return act()
    kind = FaultKind(fault.kind)
    if kind is FaultKind.DELAY:
        await _keep_waiting(request, fault.seconds)
        return act()
    if kind in _CARRIED_OUT:
        act()
    if kind in _UNANSWERED:
        await _keep_waiting(request, fault.seconds)
    if kind in _UNANSWERED or kind is FaultKind.RESET_AFTER_ACCEPT:
        return _hang_up(request)
    if kind in (FaultKind.THROTTLE, FaultKind.BAN):
        return words.throttled(fault.seconds)
    return words.error()


_CLOSING = web.AppKey("closing", asyncio.Event)


def let_go_on_shutdown(app: web.Application) -> None:
    """Requests that are kept waiting must not keep the server from ending."""
    app[_CLOSING] = closing = asyncio.Event()

    async def close(_app: web.Application) -> None:
        closing.set()

    app.on_shutdown.append(close)


async def _keep_waiting(request: web.Request, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(request.app[_CLOSING].wait(), seconds)


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


_CARRIED_OUT = frozenset(
    {
        FaultKind.TIMEOUT_AFTER_ACCEPT,
        FaultKind.ERROR_AFTER_ACCEPT,
        FaultKind.RESET_AFTER_ACCEPT,
    }
)
_UNANSWERED = frozenset({FaultKind.TIMEOUT_AFTER_ACCEPT, FaultKind.TIMEOUT_BEFORE_ACCEPT})
_KINDS = (
    *sorted(_CARRIED_OUT),
    FaultKind.TIMEOUT_BEFORE_ACCEPT,
    FaultKind.ERROR_BEFORE_ACCEPT,
    FaultKind.THROTTLE,
    FaultKind.BAN,
    FaultKind.DELAY,
)
