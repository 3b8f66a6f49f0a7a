"""Reading answers whose size the other side chooses."""

from __future__ import annotations

import aiohttp


class TooLarge(ValueError):
    """The body is longer than it may be."""


async def bounded(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """The whole body; raises TooLarge when it is longer than `limit` bytes."""
    body = bytearray()
    async for chunk in answer.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"more than {limit} bytes")
    return bytes(body)
