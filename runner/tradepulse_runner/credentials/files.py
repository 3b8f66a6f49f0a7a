"""Reads a key pair so that both halves are of the same version.

Three ways of replacing the files are known. Kubernetes prepares a new directory and swaps the
link ``..data``: both files change at once (yet may be absent for milliseconds, see
kubernetes/kubernetes#92851). Agents such as Vault's rename one file after the other. An editor
writes in place. Only the first is atomic for the pair, so :class:`Pair` tells which it was. One
file with both, ``credentials.json``, is atomic as well, and is then the pair.

A file is stamped before and after it is read; what changed meanwhile is read again.
"""

from __future__ import annotations

import json
import os
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tradepulse_runner.errors import ConfigError
from tradepulse_runner.files.snapshot import Step, no_fault

DATA_LINK = "..data"
#: Both halves by their names, as one JSON object.
PAIR_FILE = "credentials.json"
MIN_SECRET = 16
MAX_BYTES = 64 * 1024
READS = 5
_PRINTABLE = frozenset(string.ascii_letters + string.digits + string.punctuation)


@dataclass(frozen=True, slots=True)
class Pair:
    """One key and its secret. ``atomic``: both were replaced at once."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    atomic: bool = field(default=True, compare=False)


class Source(Protocol):
    """A place that a pair is read from."""

    def read(self) -> Pair:
        """The current pair. Raises :class:`ConfigError` naming variable, place and remedy."""


@dataclass(frozen=True, slots=True)
class Variables:
    """A pair in environment variables ``names`` (key, secret). ``instead``: the directory whose
    files would count before them, if it were there."""

    names: tuple[str, str]
    environment: Mapping[str, str] = field(repr=False)
    expected_dir: Path | None = None

    def read(self) -> Pair:
        key, secret = (self._one(name) for name in self.names)
        return Pair(key, secret)

    def _one(self, name: str) -> str:
        or_file = f" or the file {self.expected_dir / name}" if self.expected_dir else ""
        place = f"the environment variable {name}{or_file}"
        return checked(name, self.environment.get(name, ""), place)


@dataclass(frozen=True, slots=True)
class Files:
    """A pair in files ``names`` (key, secret) of ``directory``; ``step`` is called before each
    access (tests)."""

    names: tuple[str, str]
    directory: Path
    step: Step = no_fault

    def read(self) -> Pair:
        if (self.directory / PAIR_FILE).exists():
            return self._read_pair_file()
        for _ in range(READS):
            before = self._stamp()
            texts = [self._text(name) for name in self.names]
            if self._stamp() == before:
                key, secret = (
                    checked(name, text, f"the file {self.directory / name}")
                    for name, text in zip(self.names, texts, strict=True)
                )
                return Pair(key, secret, atomic=all(before[0]))
        raise ConfigError(
            f"{self.names[0]}: the files in {self.directory} change faster than they can be read; "
            "remedy: replace them once, by renaming"
        )

    def _read_pair_file(self) -> Pair:
        place = f"the file {self.directory / PAIR_FILE}"
        try:
            pair = dict(json.loads(self._text(PAIR_FILE)))
        except (ValueError, TypeError):
            # From None: the error of a parser shows what it could not parse.
            raise ConfigError(
                f"{PAIR_FILE}: {place} is not a whole JSON object; remedy: have it renamed into"
                f" place, with the keys {' and '.join(self.names)}"
            ) from None
        key, secret = (checked(name, _text_of(pair.get(name)), place) for name in self.names)
        return Pair(key, secret)

    def _stamp(self) -> tuple[tuple[object, ...], ...]:
        """Changes whenever a file is replaced or written. First the target of ``..data`` for each
        file that is linked through it."""
        return (
            tuple(self._swapped(name) for name in self.names),
            *(self._state(name) for name in self.names),
        )

    def _swapped(self, name: str) -> str:
        self.step("link")
        try:
            through = os.readlink(self.directory / name).startswith(f"{DATA_LINK}/")
            return os.readlink(self.directory / DATA_LINK) if through else ""
        except OSError:
            return ""

    def _state(self, name: str) -> tuple[int, ...]:
        self.step("stat")
        try:
            stat = os.stat(self.directory / name)
        except OSError:
            return ()
        return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def _text(self, name: str) -> str:
        self.step("read")
        path = self.directory / name
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
            return data.decode() if len(data) <= MAX_BYTES else ""
        except FileNotFoundError:
            return ""
        except UnicodeDecodeError:
            # From None: the error of a decoder shows what it could not decode.
            raise ConfigError(f"{name}: {path} is not text; remedy: {_PROVIDE}") from None
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise ConfigError(
                f"{name}: {path} cannot be read ({why}); remedy: {_PROVIDE}"
            ) from None


_PROVIDE = "provide the value that the venue gave you"


def _text_of(value: object) -> str:
    return value if isinstance(value, str) else ""


def checked(name: str, text: str, place: str) -> str:
    """``text`` fit to be signed with. Raises :class:`ConfigError`, which never shows it."""
    value = text.strip()
    if not value:
        raise ConfigError(f"{name}: missing; remedy: provide it as {place}")
    why = _wrong_key(value) if name.endswith("_KEY") else _wrong_secret(value)
    if why:
        raise ConfigError(f"{name}: {place} {why}; remedy: {_PROVIDE}")
    return _unescaped(value)


def _unescaped(value: str) -> str:
    r"""A PEM that travelled through JSON or a shell variable has its line ends as ``\n``."""
    return value.replace("\\n", "\n") if value.startswith("-----BEGIN") else value


def _wrong_key(value: str) -> str:
    return "" if _PRINTABLE.issuperset(value) else "holds blanks or characters that no key has"


def _wrong_secret(value: str) -> str:
    if not value.startswith("-----BEGIN"):
        if len(value) < MIN_SECRET:
            return f"is shorter than {MIN_SECRET} characters"
        return "" if _PRINTABLE.issuperset(value) else "holds blanks or characters no secret has"
    try:
        load_pem_private_key(_unescaped(value).encode(), password=None)
    except TypeError:
        return "is a PEM that needs a password"
    except (ValueError, UnsupportedAlgorithm):
        return "is not a whole PEM of a private key"
    return ""
