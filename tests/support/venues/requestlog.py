"""What reached a venue: the proof that something did not."""

from __future__ import annotations

from typing import NamedTuple


class Request(NamedTuple):
    """``time``: unix seconds by the venue's clock. ``path``: of REST, or the name of a WebSocket
    API method. ``client_id``: the client's id of the order that it is about, or ""."""

    time: float
    method: str
    path: str
    client_id: str
