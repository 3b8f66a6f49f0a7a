"""One request to the Kubernetes API: deadline, retry of reads, metrics, faults for tests.

lightkube reads the kubeconfig or the service account (and re-reads its token when it rotates);
manifests stay plain dictionaries, so no model of ours can drop a field that it doesn't know.
See docs/decisions/0001-kubernetes-client.md.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
from lightkube.config.client_adapter import AsyncClient, ConnectionParams
from lightkube.config.kubeconfig import KubeConfig
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from .errors import KubeError, Unavailable, failure

#: Seconds that one attempt may take altogether; connecting is part of it.
TIMEOUT = 15.0
_CONNECT = 5.0
_ATTEMPTS = 3


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


#: Told of every attempt: the call, and the HTTP status (0: no answer).
Meter = Callable[[Call, int], None]
#: Awaited before and after every attempt with "before" or "after"; may raise. For tests.
Fault = Callable[[str, Call], Awaitable[None]]


def connect(timeout: float = TIMEOUT) -> httpx2.AsyncClient:
    """A client with the credentials of the service account, `$KUBECONFIG` or `~/.kube/config`.

    Raises lightkube's ConfigError when there are none.
    """
    config = KubeConfig.from_env().get()
    if config is None:
        raise KubeError(0, "NoContext", "the kubeconfig names no current context: set one")
    limits = httpx2.Timeout(timeout, connect=_CONNECT)
    # Proxies of the environment are for the internet, not for the API server.
    return AsyncClient(config, ConnectionParams(timeout=limits, trust_env=False))


class Transport:
    """Sends calls. Raises KubeError, nothing else, for whatever went wrong."""

    def __init__(
        self,
        http: httpx2.AsyncClient,
        *,
        timeout: float = TIMEOUT,
        meter: Meter | None = None,
        fault: Fault | None = None,
    ) -> None:
        self._http = http
        self._timeout = timeout
        self._meter = meter
        self._fault = fault

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def json(self, call: Call) -> dict[str, Any]:
        """The decoded object of the answer."""
        text = await self.text(call)
        try:
            found = json.loads(text)
        except ValueError as error:
            raise Unavailable(0, "Malformed", f"{call.path}: no JSON: {text[:200]}") from error
        if not isinstance(found, dict):
            raise Unavailable(0, "Malformed", f"{call.path}: no object: {text[:200]}")
        return found

    async def text(self, call: Call) -> str:
        """The answer as text. Reads are tried three times, writes once: the queue asks anew."""
        if not call.idempotent:
            return await self._attempt(call)
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(Unavailable),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_exponential_jitter(multiplier=0.1, max=1.0, jitter=0.1),
            reraise=True,
        )
        return await attempts(self._attempt, call)

    async def _attempt(self, call: Call) -> str:
        if self._fault:
            await self._fault("before", call)
        code = 0
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._http.request(
                    call.method,
                    call.path,
                    params=dict(call.params),
                    content=None if call.body is None else json.dumps(call.body),
                    headers={"Content-Type": call.content_type, "Accept": call.accept},
                )
            code = answer.status_code
        except (httpx2.HTTPError, TimeoutError) as error:
            what = str(error) or type(error).__name__
            raise Unavailable(0, "NoAnswer", f"{call.method} {call.path}: {what}") from error
        finally:
            if self._meter:
                self._meter(call, code)
        if code >= 400:
            raise failure(code, _decoded(answer), answer.text)
        if self._fault:
            await self._fault("after", call)
        return answer.text


def _decoded(answer: httpx2.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
