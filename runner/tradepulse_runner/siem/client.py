"""Sends records to the receiver, with a token of the client-credentials grant.

A batch is one request: JSON lines, one record each, whose ``id`` is that of the runner and the
record's digest, the same however often it is sent. Any 2xx says that the whole batch was taken.
Texts of errors are made here: an answer of a token server may show what it was asked with.
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
#: Seconds that a token must still be good for, and those of one that doesn't say how long it is.
RENEW_BEFORE, DEFAULT_LIFETIME = 30.0, 300.0
#: Bytes that are read of an answer, and seconds that a receiver may ask us to wait.
_LARGEST, LONGEST_WAIT = 64 * 1024, 300.0


class SiemError(RunnerError):
    """The batch was not taken, as far as we know. ``wait``: seconds that the receiver asks for;
    ``too_large``: it takes smaller ones only."""

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
        """Returns once the receiver took all of them. Raises :class:`SiemError`."""
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
            self._token = None  # withdrawn, perhaps; the next attempt asks for another
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
        """``id`` and ``source`` beside what is signed, which stays as it is in the trail."""
        return {"id": f"{self._source}/{record.digest}", "source": self._source, **record.to_json()}

    async def _access_token(self, session: aiohttp.ClientSession) -> str:
        """A token that was got with the secret of now."""
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
        """A session that trusts the authorities of now."""
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
    """In words that hold nothing of a request."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or "can't be reached"
    return "timeout" if isinstance(error, TimeoutError) else type(error).__name__


def _wait(text: str) -> float:
    """Seconds of a Retry-After; a date counts as none, our own pauses will do."""
    return min(float(text), LONGEST_WAIT) if text.isascii() and text.isdecimal() else 0.0
