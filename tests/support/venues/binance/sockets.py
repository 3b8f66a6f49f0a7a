"""WebSocket connections: one writer each, cut and silenced together."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from tests.support.venues.faults import STREAM, Fault, FaultKind, Faults, Outlet

_PING = 20.0  # seconds between the server's pings
Farewell = Callable[[int], dict[str, Any]]


class Connection:
    """What is sent goes out in that order; events go through the faults of streams."""

    def __init__(
        self, sockets: Sockets, socket: web.WebSocketResponse, request: web.Request
    ) -> None:
        self._sockets = sockets
        self._socket = socket
        self._request = request
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._outlet: Outlet[dict[str, Any]] = Outlet(sockets.faults)

    def send(self, message: dict[str, Any]) -> None:
        self._queue.put_nowait(json.dumps(message))

    def tell(self, event: dict[str, Any], *, fill: bool = False) -> None:
        """An event of a stream."""
        if self._sockets.silent():
            return
        for message in self._outlet.pass_on(event, fill=fill):
            self.send(message)

    def abort(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()

    async def close(self) -> None:
        """After what was said before has gone out."""
        while not self._queue.empty():
            await self._socket.send_str(self._queue.get_nowait())
        await self._socket.close(code=WSCloseCode.GOING_AWAY)

    async def messages(self) -> AsyncIterator[str]:
        writer = asyncio.create_task(self._write())
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    yield message.data
        finally:
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await writer

    async def _write(self) -> None:
        while True:
            text = await self._queue.get()
            await self._socket.send_str(text)


class Sockets:
    """All connections of one venue. ``lifetime``: seconds until one is closed (24 h there)."""

    def __init__(
        self, faults: Faults, clock: Callable[[], float], *, lifetime: float = 86400.0
    ) -> None:
        self.faults = faults
        self._clock = clock
        self._lifetime = lifetime
        self._live: dict[Connection, Farewell] = {}
        self._silent_until = 0.0
        self._cuts: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def accept(
        self, request: web.Request, farewell: Farewell
    ) -> AsyncIterator[tuple[Connection, web.WebSocketResponse]]:
        """``farewell``: how this kind of connection announces a shutdown, given the time in ms."""
        socket = web.WebSocketResponse(heartbeat=_PING)
        await socket.prepare(request)
        connection = Connection(self, socket, request)
        self._live[connection] = farewell
        end = asyncio.get_running_loop().call_later(self._lifetime, self._end, connection)
        try:
            yield connection, socket
        finally:
            end.cancel()
            self._live.pop(connection, None)

    def silent(self) -> bool:
        """Whether streams say nothing now; a fault may begin that."""
        fault = self.faults.take(STREAM, FaultKind.SILENCE_STREAM)
        if fault is not None:
            self._silent_until = self._clock() + fault.seconds
        if self.faults.take(STREAM, FaultKind.CUT_STREAM):
            self.cut()
        return self._clock() < self._silent_until

    def cut(self, *, announced: bool = True) -> None:
        """Close every connection, with a ``serverShutdown`` before it or without."""
        for connection, farewell in list(self._live.items()):
            if announced:
                connection.send(farewell(int(self._clock() * 1000)))
                self._end(connection)
            else:
                connection.abort()

    def on_fault(self, fault: Fault) -> None:
        """A cut that waits for nothing happens now, not at the next event."""
        if fault.on == STREAM and fault.kind == FaultKind.CUT_STREAM and not fault.after:
            self.faults.take(STREAM, FaultKind.CUT_STREAM)
            self.cut()

    def _end(self, connection: Connection) -> None:
        task = asyncio.get_running_loop().create_task(connection.close())
        self._cuts.add(task)
        task.add_done_callback(self._cuts.discard)

    def __len__(self) -> int:
        return len(self._live)
