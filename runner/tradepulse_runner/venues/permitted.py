"""HTTP requests that ask for permission at the last moment: when their bytes are about to go.

Between the signature and the wire lies the wait for a connection, and a process can be stopped
there for any time. Asked here, a permit is as old as the request's first byte. What is stopped
after that was stamped before it, and is too old for the venue when it goes on.
"""

from __future__ import annotations

from aiohttp import ClientRequest, ClientResponse
from aiohttp.connector import Connection

from tradepulse_runner.errors import OrderRejected
from tradepulse_runner.venues.base import Permit

READS = frozenset({"GET", "HEAD"})


def permitted(permit: Permit) -> type[ClientRequest]:
    """For ``ClientSession(request_class=…)``: whatever isn't a read is sent with ``permit`` only;
    without it, :class:`OrderRejected`, and no byte has left."""

    class Permitted(ClientRequest):
        async def send(self, conn: Connection) -> ClientResponse:
            if self.method not in READS and (why := permit()):
                raise OrderRejected(f"{self.url.host}: not sent: {why}")
            return await super().send(conn)

    return Permitted
