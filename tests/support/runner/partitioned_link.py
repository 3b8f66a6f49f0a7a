"""A network that can be cut: TCP through here goes on, or goes nowhere."""

from __future__ import annotations

import asyncio
import contextlib


class PartitionedLink:
    """``async with PartitionedLink(host, port) as link``: listens at ``link.port`` on 127.0.0.1.

    While cut, nothing passes and nothing is refused: connections stay open and silent, new ones
    are accepted and lead nowhere. That is what a partition looks like from inside.
    """

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._whole = asyncio.Event()
        self._whole.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        self._whole.clear()

    def mend(self) -> None:
        self._whole.set()

    async def __aenter__(self) -> PartitionedLink:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._whole.wait()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                back_reader, back_writer = await asyncio.open_connection(*self._to)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pass(reader, back_writer))
                    group.create_task(self._pass(back_reader, writer))
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._whole.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
