"""One request to the Kubernetes API: deadline, retry of reads, metrics, faults for tests.

Manifests stay plain dictionaries, so no model can drop a field that it doesn't know: the official
client's own models and methods aren't used, its requests and credentials are.
See docs/decisions/0001-kubernetes-client.md.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from kubernetes.aio.client.exceptions import OpenApiException

from tradepulse_operator.clients.http import TooLarge, bounded

from .config import Connection
from .errors import KubeError, Unavailable, failure

#: Seconds that one attempt may take altogether; connecting and reading a token are part of it.
TIMEOUT = 15.0
_CONNECT = 5.0
#: Seconds before a read is tried again, and up to twice as long: whatever failed for all at once
#: isn't asked by all at once.
_PAUSES = (0.1, 0.2)
#: Largest answer: a page of 500 objects of 64 KiB.
LARGEST = 32 * 1024 * 1024


@dataclass(frozen=True)
class Call:
    """A request. `verb` and `kind` are for people and metrics; `idempotent` ones are retried."""

    verb: str
    kind: str
    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"
    accept: str = "application/json"
    idempotent: bool = False


#: Called after every attempt: the call, and the HTTP status (0: no answer).
Meter = Callable[[Call, int], None]
#: Awaited before and after every attempt with "before" or "after"; may raise. For tests.
Fault = Callable[[str, Call], Awaitable[None]]


class Transport:
    """Sends calls. Raises KubeError, nothing else, for whatever went wrong."""

    def __init__(
        self,
        connection: Connection,
        *,
        timeout: float = TIMEOUT,
        largest: int = LARGEST,
        meter: Meter | None = None,
        fault: Fault | None = None,
    ) -> None:
        self._connection = connection
        self._timeout = timeout
        self._limits = aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, _CONNECT))
        self._largest = largest
        self._meter = meter
        self._fault = fault

    async def json(self, call: Call) -> dict[str, Any]:
        """The decoded object of the answer."""
        text = await self.text(call)
        try:
            parsed = json.loads(text)
        except ValueError as error:
            raise Unavailable(0, "Malformed", f"{call.path}: no JSON: {text[:200]}") from error
        if not isinstance(parsed, dict):
            raise Unavailable(0, "Malformed", f"{call.path}: no object: {text[:200]}")
        return parsed

    async def text(self, call: Call) -> str:
        """The answer as text. Reads are tried three times, writes once: the queue asks anew."""
        if not call.idempotent:
            return await self._attempt(call)
        for pause in _PAUSES:
            try:
                return await self._attempt(call)
            except Unavailable:
                await asyncio.sleep(pause * (1 + random.random()))
        return await self._attempt(call)

    async def _attempt(self, call: Call) -> str:
        if self._fault:
            await self._fault("before", call)
        code = 0
        try:
            async with asyncio.timeout(self._timeout):
                code, body = await self._answer(call)
        except KubeError as error:
            code = error.code
            raise
        except TimeoutError as error:
            what = f"{call.method} {call.path}: not within {self._timeout:g} s"
            raise Unavailable(0, "NoAnswer", what) from error
        except (aiohttp.ClientError, OSError, ValueError, OpenApiException) as error:
            what = str(error) or type(error).__name__
            raise Unavailable(0, "NoAnswer", f"{call.method} {call.path}: {what}") from error
        finally:
            if self._meter:
                self._meter(call, code)
        text = body.decode(errors="replace")
        if code >= 400:
            raise failure(code, _decoded(text), text)
        if self._fault:
            await self._fault("after", call)
        return text

    async def _answer(self, call: Call) -> tuple[int, bytes]:
        """Status and body. A request that was refused for its token did nothing: it is sent once
        more when there is a newer one, as after a rotation."""
        code, body, sent = await self._send(call)
        if code == 401 and await self._connection.authorization(refused=sent) != sent:
            code, body, _ = await self._send(call)
        return code, body

    async def _send(self, call: Call) -> tuple[int, bytes, str]:
        """Status, body, and the `Authorization` that was sent."""
        client = self._connection.client
        method, url, headers, body, _ = await client.param_serialize(
            call.method,
            call.path,
            query_params=list(call.params.items()),
            header_params={"Content-Type": call.content_type, "Accept": call.accept},
            body=call.body,
            auth_settings=["BearerToken"],
        )
        answer = await client.call_api(method, url, headers, body, _request_timeout=self._limits)
        async with answer.response as response:
            code = int(response.status)
            try:
                text = await bounded(response, self._largest)
            except TooLarge as error:
                # Not Unavailable: it would only be read again.
                what = f"{call.method} {call.path}: answered {error}"
                raise KubeError(code, "TooLarge", what) from error
        return code, text, str(headers.get("authorization") or "")


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
