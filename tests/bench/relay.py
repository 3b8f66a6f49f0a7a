"""A TCP relay that notes when an order's bytes arrive, by the machine's monotonic clock."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from pathlib import Path

_CLIENT_ID = re.compile(rb"newClientOrderId=([\w-]+)")


class Relay:
    """Passes connections on to ``port`` of this machine. ``stamps``: nanoseconds by client id."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.stamps: dict[str, int] = {}
        self.port = 0

    async def serve(self, ready: Path, stamps: Path) -> None:
        """Write the port to ``ready``, serve until SIGTERM, write the stamps to ``stamps``."""
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        temp = ready.with_suffix(".tmp")
        temp.write_text(str(server.sockets[0].getsockname()[1]))
        temp.rename(ready)
        await stop.wait()
        await asyncio.to_thread(stamps.write_text, json.dumps(self.stamps))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(self._pass(reader, back, note=True), self._pass(there, writer))

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, note: bool = False
    ) -> None:
        while data := await reader.read(65_536):
            now = time.monotonic_ns()
            writer.write(data)
            if note and (found := _CLIENT_ID.search(data)):
                self.stamps.setdefault(found[1].decode(), now)
        writer.close()
