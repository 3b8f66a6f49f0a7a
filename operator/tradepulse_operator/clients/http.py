"""What every HTTP client here shares: bounded answers, and URLs as messages may show them."""

from __future__ import annotations

from urllib.parse import urlsplit

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


def redacted_url(what: str, url: str) -> str:
    """`what` at `url`, without user, password and query, for messages."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{what} at {parts.scheme}://{parts.hostname}{port}"
