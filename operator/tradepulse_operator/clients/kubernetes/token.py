"""The bearer token of requests to the API server: read again when it is due, or refused.

The official client reads a service account's token again by itself, but neither strips it nor says
in its own errors what is wrong, reads a kubeconfig's `tokenFile` once, and gives an exec plugin any
time it takes. The rules here are those of client-go, but for one: a source that fails isn't hidden
behind the last token that it gave.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .errors import Unavailable

#: Seconds after which a token file is read again.
FILE_PERIOD = 60.0
#: Seconds that a plugin may take; less than a request may.
PLUGIN_TIMEOUT = 10.0
#: Share of its remaining life after which a plugin's token is renewed.
_SPENT = 0.8
#: What may stand in a header: a line break would let a file write headers of its own.
_PLAIN = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class Issued:
    """A token, and the seconds after which its source is asked again."""

    token: str
    seconds: float = math.inf


Source = Callable[[], Awaitable[Issued]]


class Token:
    """The newest token of `source`, which raises Unavailable when it has none."""

    def __init__(self, source: Source, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._monotonic = monotonic
        self._token = ""
        self._due = -math.inf
        #: Requests come in dozens: one of them reads, the others wait for it.
        self._reading = asyncio.Lock()

    async def value(self) -> str:
        """The token to send now."""
        return await self.other_than("")

    async def other_than(self, refused: str) -> str:
        """The token, read again if it is still the `refused` one; it may be the same once more."""
        async with self._reading:
            if self._token == refused or self._monotonic() >= self._due:
                issued = await self._source()
                self._token, self._due = issued.token, self._monotonic() + issued.seconds
            return self._token


def from_file(path: Path) -> Source:
    """Reads `path`, which the kubelet or a sidecar replaces when the token is rotated."""

    async def read() -> Issued:
        try:
            text = await asyncio.to_thread(path.read_text)
        except (OSError, ValueError) as error:
            what = getattr(error, "strerror", None) or type(error).__name__
            raise _missing(f"{path} can't be read: {what}") from error
        return Issued(_plain(str(path), text.strip()), FILE_PERIOD)

    return read


def from_plugin(
    plugin: Mapping[str, Any], *, now: Callable[[], float] = lambda: datetime.now(UTC).timestamp()
) -> Source:
    """Runs the `exec` section of a kubeconfig's user (client.authentication.k8s.io/v1, v1beta1).

    `now`: unix seconds. Only tokens are taken: certificates of a plugin would need a new connection
    each time.
    """
    name = str(plugin.get("command") or "")

    async def read() -> Issued:
        output = await asyncio.to_thread(_output, name, plugin)
        try:
            status = json.loads(output)["status"]
            token, expires = status.get("token"), status.get("expirationTimestamp")
            left = math.inf if expires is None else _instant(expires) - now()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _missing(f"the exec plugin {name} answered no ExecCredential") from error
        if not token:
            raise _missing(f"the exec plugin {name} issued no token: use one that issues tokens")
        return Issued(_plain(f"the exec plugin {name}", str(token)), max(0.0, left * _SPENT))

    return read


def _output(name: str, plugin: Mapping[str, Any]) -> bytes:
    asked = {
        "apiVersion": plugin.get("apiVersion"),
        "kind": "ExecCredential",
        "spec": {"interactive": False},
    }
    own = {str(each["name"]): str(each["value"]) for each in plugin.get("env") or ()}
    try:
        done = subprocess.run(
            [name, *map(str, plugin.get("args") or ())],
            env={**os.environ, **own, "KUBERNETES_EXEC_INFO": json.dumps(asked)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PLUGIN_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _missing(f"the exec plugin {name} didn't end in {PLUGIN_TIMEOUT:g} s") from error
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or error
        raise _missing(f"the exec plugin {name} can't be run: {what}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-300:]
        raise _missing(f"the exec plugin {name} failed with {done.returncode}: {said}")
    return done.stdout


def _plain(where: str, token: str) -> str:
    if not token:
        raise _missing(f"{where}: the token is empty")
    if not _PLAIN.fullmatch(token):
        raise _missing(f"{where}: the token contains blanks, line breaks or what isn't ASCII")
    return token


def _instant(text: str) -> float:
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _missing(message: str) -> Unavailable:
    return Unavailable(0, "NoToken", message)
