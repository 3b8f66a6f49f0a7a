"""Sends records to the receiver, with a token of the client-credentials grant.

A batch is one request: JSON lines, one record each, whose ``id`` is that of the runner and the
record's digest, the same on every retry. Any 2xx acknowledges the whole batch. Error texts never
quote an answer: a token server's may contain the request's secrets.
Sources: RFC 6749 (2.3.1, 4.4, 5.1), RFC 6750, RFC 9110 (Retry-After).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import aiohttp

from tradepulse_runner.audit.trail import AuditRecord
from tradepulse_runner.config.siem import SiemConfig
from tradepulse_runner.errors import RunnerError
from tradepulse_runner.files.secret import SIEM_SECRET, WatchedSecret
from tradepulse_runner.files.snapshot import canonical

MEDIA_TYPE = "application/x-ndjson"
#: Seconds before expiry at which a token is renewed, and the lifetime of one without expires_in.
RENEW_BEFORE, DEFAULT_LIFETIME = 30.0, 300.0
#: Maximum bytes read of an answer, and maximum Retry-After, seconds.
_LARGEST, LONGEST_WAIT = 64 * 1024, 300.0


class SiemError(RunnerError):
    """The batch was not acknowledged. ``wait``: Retry-After, seconds; ``too_large``: the receiver
    answered 413."""

    def __init__(self, text: str, *, wait: float = 0.0, too_large: bool = False) -> None:
        super().__init__(text)
        self.wait, self.too_large = wait, too_large


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)
    generation: int
    until: float


class SiemClient:
    """``source``: ``namespace/name`` of the runner. ``timer`` gives monotonic seconds."""

    def __init__(
        self,
        config: SiemConfig,
        source: str,
        secret: WatchedSecret,
        *,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._source, self._secret, self._timer = config, source, secret, timer
        self._token: _Token | None = None
        self._session: aiohttp.ClientSession | None = None
        self._ca_stamp: tuple[int, ...] = ()

    async def send(self, records: Sequence[AuditRecord]) -> None:
        """Send a batch; returns once it is acknowledged. Raises :class:`SiemError`."""
        session = await self._open()
        token = await self._access_token(session)
        body = b"".join(canonical(self._line(record)) + b"\n" for record in records)
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": MEDIA_TYPE,
            "Idempotency-Key": hashlib.sha256(body).hexdigest(),
        }
        status, answered, _ = await self._post(session, self._config.endpoint, headers, body)
        if status == 401:
            self._token = None  # perhaps revoked; the next attempt requests a new one
        if not 200 <= status < 300:
            remedy = _REMEDIES.get(status, _RETRY_REMEDY)
            raise SiemError(
                f"{self._config.endpoint} answered {status}; remedy: {remedy}",
                wait=_wait(answered.get("Retry-After", "")),
                too_large=status == 413,
            )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _line(self, record: AuditRecord) -> dict[str, Any]:
        """The signed record as it is in the trail, plus ``id`` and ``source``."""
        return {"id": f"{self._source}/{record.digest}", "source": self._source, **record.to_json()}

    async def _access_token(self, session: aiohttp.ClientSession) -> str:
        """An access token requested with the current secret."""
        if not self._secret.value:
            raise SiemError(self._secret.problem or f"{SIEM_SECRET}: there is no secret yet")
        cached, generation = self._token, self._secret.generation
        if (
            cached
            and cached.generation == generation
            and self._timer() < cached.until - RENEW_BEFORE
        ):
            return cached.text
        self._token = None
        self._token = await self._request_token(session, generation)
        return self._token.text

    async def _request_token(self, session: aiohttp.ClientSession, generation: int) -> _Token:
        url = self._config.token_url
        asked = self._timer()
        # The parts are form-encoded before they are joined (RFC 6749, 2.3.1).
        login = f"{quote_plus(self._config.client_id)}:{quote_plus(self._secret.value)}"
        form = {"grant_type": "client_credentials"}
        if self._config.scope:
            form["scope"] = self._config.scope
        basic = base64.b64encode(login.encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Accept": "application/json"}
        status, _, body = await self._post(session, url, headers, form)
        if status != 200:
            raise SiemError(
                f"{url} gave no token ({status}); remedy: look whether {SIEM_SECRET}_PATH holds the"
                f" secret of client {self._config.client_id}"
            )
        try:
            grant = json.loads(body)
            text, seconds = grant["access_token"], float(grant.get("expires_in", DEFAULT_LIFETIME))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SiemError(f"{url} answered with something that is no token") from None
        if not isinstance(text, str) or not text.isascii() or not text.isprintable() or not text:
            raise SiemError(f"{url} answered with something that is no token")
        return _Token(text, generation, asked + max(seconds, RENEW_BEFORE))

    async def _post(
        self,
        session: aiohttp.ClientSession,
        url: str,
        headers: dict[str, str],
        data: bytes | dict[str, str],
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, and the body's beginning. A redirect isn't followed: the token is for
        this address alone."""
        body = b""
        try:
            async with session.post(
                url, headers=headers, data=data, allow_redirects=False
            ) as answer:
                async for chunk in answer.content.iter_chunked(_LARGEST):
                    body += chunk
                    if len(body) > _LARGEST:
                        break
                return answer.status, dict(answer.headers), body
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SiemError(
                f"{url} gives no answer ({_why(error)}); remedy: {_RETRY_REMEDY}"
            ) from None

    async def _open(self) -> aiohttp.ClientSession:
        """A session that trusts the current CA file."""
        ca_file = self._config.ca_file
        stamp = _stamp(ca_file)
        if self._session is None or stamp != self._ca_stamp:
            context = await asyncio.to_thread(_tls_context, ca_file)  # reading may take long
            await self.close()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, limit=2),
                timeout=aiohttp.ClientTimeout(total=self._config.timeout),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
            self._ca_stamp = stamp
        return self._session


_RETRY_REMEDY = "look at the receiver; everything is kept and sent again"
_REMEDIES = {
    401: "look whether the receiver takes tokens of admin.siem.token_url",
    403: "let the client write there, or give admin.siem.scope",
    404: "correct admin.siem.endpoint",
    413: "lower admin.siem.batch if this goes on",
}


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Raises :class:`SiemError` naming the file."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        why = getattr(error, "reason", None) or error.strerror or type(error).__name__
        raise SiemError(
            f"admin.siem.ca_file: {ca_file} can't be used ({why}); remedy: mount PEM certificates"
        ) from None


def _stamp(path: Path | None) -> tuple[int, ...]:
    try:
        stat = path.stat() if path else None
    except OSError:
        return ()
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns) if stat else ()


def _why(error: BaseException) -> str:
    """The reason, without any content of the request."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or "can't be reached"
    return "timeout" if isinstance(error, TimeoutError) else type(error).__name__


def _wait(text: str) -> float:
    """Seconds of a Retry-After header; 0 for a date, where our own backoff applies."""
    return min(float(text), LONGEST_WAIT) if text.isascii() and text.isdecimal() else 0.0
