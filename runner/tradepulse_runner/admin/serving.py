"""The admin server: uvicorn in the runner's event loop, without signal handlers of its own.

A port in use or unusable files are a :class:`ConfigError` at start; a later failure is logged and
doesn't stop trading: the command line still reaches the latch.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tradepulse_runner.admin.certificates import ServerTls, subject_of
from tradepulse_runner.config.admin import AdminConfig
from tradepulse_runner.errors import ConfigError

log = logging.getLogger(__name__)
#: Connections at once; more are answered 503.
CONNECTIONS = 64
#: Bytes of a request's head.
MAX_HEAD = 32 * 1024
#: Seconds between two polls of the certificate files.
TLS_INTERVAL = 5.0
#: Seconds that running requests get to finish when the runner stops.
GRACE = 2


class _Protocol(H11Protocol):
    """Passes the client certificate's subject to the application, as
    ``request.state.client_subject``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "client_subject": subject_of(transport)}


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None: SIGTERM is the runner's."""
        yield


class AdminServer:
    """Listens for ``app``."""

    def __init__(self, config: AdminConfig, app: Any) -> None:
        """Raises :class:`ConfigError` for certificates that can't be used."""
        self._config = config
        self.tls = ServerTls(config.tls, config.mtls) if config.tls else None
        self._server = _Uvicorn(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                # Rate limits use the peer's address: a client can forge any header.
                proxy_headers=False,
                limit_concurrency=CONNECTIONS,
                h11_max_incomplete_event_size=MAX_HEAD,
                timeout_graceful_shutdown=GRACE,
                ssl_context_factory=self._context if self.tls else None,
            )
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> int:
        """Listen; the port. Raises :class:`ConfigError` for a port that is taken."""
        host, port = self._config.host, self._config.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
            listening.listen()  # connections queue from here on until the server accepts them
        except OSError as error:
            listening.close()
            raise ConfigError(
                f"admin: can't listen at {host}:{port} ({error.strerror}); remedy: give admin.host"
                " an address of this machine, and admin.port one that nothing else uses"
            ) from None
        self._tasks = [asyncio.create_task(self._serve(listening), name="admin")]
        if self.tls is not None:
            self._tasks.append(asyncio.create_task(self._renew(self.tls), name="admin-tls"))
        return int(listening.getsockname()[1])

    async def stop(self) -> None:
        """Finish what is under way, then stop listening."""
        self._server.should_exit = True
        if self._tasks:
            await asyncio.wait(self._tasks[:1], timeout=GRACE + 2)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, listening: socket.socket) -> None:
        try:
            await self._server.serve(sockets=[listening])
        except Exception:
            log.exception("admin.ended")

    async def _renew(self, tls: ServerTls) -> None:
        while True:
            await asyncio.sleep(TLS_INTERVAL)
            tls.refresh()

    def _context(self, *_: Any) -> ssl.SSLContext:
        assert self.tls is not None  # given to uvicorn only then
        return self.tls.context
