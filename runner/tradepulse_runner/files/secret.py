"""One secret from the environment or a file, replaced while running.

``<NAME>`` is the secret itself, ``<NAME>_PATH`` names a file that does; one of the two. A file is
read anew every ``TRADEPULSE_SECRET_REFRESH_INTERVAL_SECONDS``. A value that can't be used changes
nothing: the one before stays in use, and ``problem`` is the reason. No text of this module shows a
secret.
"""

from __future__ import annotations

import asyncio
import logging
import os
import string
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tradepulse_runner.errors import ConfigError

log = logging.getLogger(__name__)
AUDIT_SECRET = "TRADEPULSE_AUDIT_SECRET"
#: Of the SIEM client; see ``siem``.
SIEM_SECRET = "TRADEPULSE_SIEM_CLIENT_SECRET"
INTERVAL = "TRADEPULSE_SECRET_REFRESH_INTERVAL_SECONDS"
#: Characters that a secret has at least, and bytes that its file has at most.
MIN_SECRET, MAX_BYTES = 16, 64 * 1024
DEFAULT_INTERVAL, LONGEST_INTERVAL = 300.0, 86_400.0
#: Seconds that a file which is written in place must stay unchanged: longer than one write takes.
SETTLE = 1.0
_PRINTABLE = frozenset(string.ascii_letters + string.digits + string.punctuation)


@dataclass(frozen=True, slots=True)
class Read:
    """A secret, and whether its file is swapped at once, so that it can't be half written."""

    text: str = field(repr=False)
    atomic: bool = True


class WatchedSecret:
    """The newest usable value of the secret ``name``. ``value`` is what to use now."""

    def __init__(
        self, name: str, *, value: str = "", path: Path | None = None, patient: bool = False
    ) -> None:
        """``patient``: a file that can't be used yet is waited for, ``value`` is empty until then.
        Raises :class:`ConfigError` naming variable, file and remedy."""
        self.name, self._path = name, path
        self.problem = self._pending = self.value = ""
        self.generation = 0
        try:
            self.value = checked(value, f"{name}: its value") if path is None else self._read().text
            self.generation = 1
        except ConfigError as error:
            if not patient or path is None:
                raise
            self._report_problem(str(error))

    @classmethod
    def of(
        cls, name: str, environment: Mapping[str, str], *, patient: bool = False
    ) -> WatchedSecret | None:
        """From ``<name>`` or ``<name>_PATH``; None when neither is set. Raises
        :class:`ConfigError`."""
        value = environment.get(name, "")
        path = environment.get(f"{name}_PATH", "")
        if value and path:
            raise ConfigError(f"{name} and {name}_PATH are both set; remedy: unset one of them")
        if not value and not path:
            return None
        return cls(name, value=value, path=Path(path) if path else None, patient=patient)

    def refresh(self) -> bool:
        """Read the file again; whether there is a new secret now. Never raises."""
        if self._path is None:
            return False
        try:
            value = self._read()
        except ConfigError as error:
            self._report_problem(str(error))
            return False
        self.problem = ""
        if value.text == self.value:
            self._pending = ""
            return False
        if not value.atomic and value.text != self._pending:
            self._pending = value.text  # perhaps half written: it must be the same once more
            return False
        self._pending, self.value = "", value.text
        self.generation += 1
        if self.generation > 1:
            extra = {"secret": self.name, "generation": self.generation}
            log.warning("secret.replaced", extra=extra)
        return True

    @property
    def settling(self) -> bool:
        """Whether a value that must stay unchanged first, or the very first one, is awaited."""
        return bool(self._pending) or not self.value

    def _report_problem(self, problem: str) -> None:
        self._pending = ""
        if problem != self.problem:
            extra = {"secret": self.name, "why": problem, "used": "the one before"}
            log.error("secret.unusable", extra=extra)
        self.problem = problem

    def _read(self) -> Read:
        assert self._path is not None  # refresh() and __init__ looked
        where = f"{self.name}_PATH: the file {self._path}"
        try:
            with self._path.open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                raise ConfigError(f"{where} is larger than {MAX_BYTES} bytes; remedy: {_PROVIDE}")
            text = data.decode()
        except UnicodeDecodeError:
            # From None: the error of a decoder shows what it could not decode.
            raise ConfigError(f"{where} is not text; remedy: {_PROVIDE}") from None
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise ConfigError(f"{where} cannot be read ({why}); remedy: {_PROVIDE}") from None
        return Read(checked(text, where), _swapped(self._path))


_PROVIDE = f"provide a secret of {MIN_SECRET} characters or more"


def checked(text: str, where: str) -> str:
    """``text`` without the blanks around it. Raises :class:`ConfigError`, which never shows it."""
    value = text.strip()
    if len(value) < MIN_SECRET:
        raise ConfigError(f"{where} is shorter than {MIN_SECRET} characters; remedy: {_PROVIDE}")
    if not _PRINTABLE.issuperset(value):
        raise ConfigError(
            f"{where} holds blanks or characters that no secret has; remedy: {_PROVIDE}"
        )
    return value


def _swapped(path: Path) -> bool:
    """Whether the file is one of a Kubernetes volume, which is reached through the link
    ``..data``."""
    try:
        return os.readlink(path).startswith("..data/")
    except OSError:
        return False


def refresh_interval(environment: Mapping[str, str]) -> float:
    """Seconds between two looks at the secrets' files. Raises :class:`ConfigError`."""
    text = environment.get(INTERVAL, "")
    if not text:
        return DEFAULT_INTERVAL
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= LONGEST_INTERVAL:  # nan is not, either
        raise ConfigError(
            f"{INTERVAL}: {text!r} is not a number of seconds from 1 to {LONGEST_INTERVAL:.0f};"
            " remedy: set e.g. 300, or unset it"
        )
    return seconds


async def keep_fresh(
    secrets: Sequence[WatchedSecret],
    interval: float,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Worker: read every secret again after each interval, sooner while one settles."""
    while True:
        settling = any(secret.settling for secret in secrets)
        await sleep(SETTLE if settling else interval)
        for secret in secrets:
            secret.refresh()
