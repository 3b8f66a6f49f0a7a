"""Venue credentials: from mounted files or the environment, replaced while running.

A venue's key pair is ``<CONNECTOR>_API_KEY`` and ``<CONNECTOR>_API_SECRET`` (for example
``BINANCE_API_KEY``), each a file of that name in the venue's ``credentials_dir``, or else in
``state_dir/credentials/<venue>``, or else an environment variable. The secret of a key-pair scheme
(Ed25519, ES256) is its PEM.

A request is signed with the current credential and keeps a reference to it, so a refusal of an old
credential can be distinguished from a refusal of the newest. Unusable or half replaced files change
nothing: trading continues with the previous pair until the venue refuses it.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tradepulse_runner.config.runner import RunnerConfig
from tradepulse_runner.credentials.files import Files, Pair, Source, Variables
from tradepulse_runner.errors import ConfigError
from tradepulse_runner.files.snapshot import Step, no_fault

log = logging.getLogger(__name__)
#: Seconds without a change before files that are not replaced atomically are used.
SETTLE = 1.0
#: Seconds that one half waits for the other one, where they are renamed one after the other.
HALF = 10.0
#: Seconds after which unusable files no longer count as being replaced.
PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Credential:
    """One key pair. ``generation`` counts the changes since the start, from 1; ``loaded_at`` is
    when it was first read, unix seconds, ``adopted_at`` the same by the store's timer."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    generation: int = 1
    loaded_at: float = 0.0
    adopted_at: float = 0.0

    @property
    def fingerprint(self) -> str:
        """Names the key in logs without showing it: 8 hexadecimal digits of its SHA-256."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:8]


class CredentialStore:
    """The newest usable credentials of one venue. No text contains a secret.

    ``clock`` gives unix seconds, ``timer`` seconds that only ever rise. ``problem`` says why the
    current files are unusable ("" if they are usable), ``failures`` counts such changes.
    """

    def __init__(
        self,
        connector: str,
        directory: Path | None,
        environment: Mapping[str, str],
        *,
        expected_dir: Path | None = None,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
        step: Step = no_fault,
    ) -> None:
        self.connector = connector
        self.problem = ""
        self.failures = 0
        names = (f"{connector.upper()}_API_KEY", f"{connector.upper()}_API_SECRET")
        self._source: Source = (
            Files(names, directory, step)
            if directory
            else Variables(names, environment, expected_dir)
        )
        self._clock, self._timer = clock, timer
        self._current: Credential | None = None
        self._pending: Pair | None = None
        self._pending_since = 0.0
        self._unsettled_since: float | None = None

    @classmethod
    def open(
        cls,
        connector: str,
        directory: Path | None,
        environment: Mapping[str, str],
        *,
        expected_dir: Path | None = None,
    ) -> CredentialStore:
        """A store that has credentials, in files of ``directory`` or else in ``environment``;
        ``instead``: where files would be looked for. Raises :class:`ConfigError` naming what is
        missing and where it would be found."""
        store = cls(connector, directory, environment, expected_dir=expected_dir)
        store.load()
        return store

    def load(self) -> None:
        """Read for the first time. Raises :class:`ConfigError` naming what is missing."""
        pair = self._source.read()
        self._current = Credential(pair.key, pair.secret, 1, self._clock(), self._timer())

    @property
    def current(self) -> Credential:
        """What the next request is signed with."""
        assert self._current is not None  # open() read it
        return self._current

    @property
    def swapping(self) -> bool:
        """Whether the files look half replaced, and not for long: a refusal may be their fault."""
        since = self._unsettled_since
        return since is not None and self._timer() - since < PATIENCE

    @property
    def stale(self) -> bool:
        """Whether the files have been unusable for more than ``PATIENCE`` seconds."""
        return self._unsettled_since is not None and not self.swapping

    def refresh(self) -> bool:
        """Read again; True when there are new credentials. Unusable files change nothing."""
        now = self._timer()
        try:
            pair = self._source.read()
        except ConfigError as error:
            self._report_unusable(now, str(error))
            return False
        self._clear_problem()
        if pair != self._pending:
            self._pending, self._pending_since = pair, now
        same = (pair.key == self.current.key, pair.secret == self.current.secret)
        half = any(same) and not all(same)
        whole = pair.atomic or now - self._pending_since >= (HALF if half else SETTLE)
        if whole:
            self._unsettled_since = None
        elif not all(same):
            self._unsettled_since = now if self._unsettled_since is None else self._unsettled_since
        if whole and not all(same):
            self._adopt(pair)
            return True
        return False

    def refused(self, used: Credential) -> bool:
        """The venue refused ``used``; True when newer ones exist to sign the request again."""
        if self.current.generation == used.generation:
            self.refresh()
        return self.current.generation > used.generation

    def _adopt(self, pair: Pair) -> None:
        before = self.current
        self._current = new = Credential(
            pair.key, pair.secret, before.generation + 1, self._clock(), self._timer()
        )
        log.warning(
            "credentials.replaced",
            extra={
                "connector": self.connector,
                "generation": new.generation,
                "key": new.fingerprint,
                "key_before": before.fingerprint,
            },
        )

    def _report_unusable(self, now: float, problem: str) -> None:
        self._pending = None
        self._unsettled_since = now if self._unsettled_since is None else self._unsettled_since
        self.failures += not self.problem
        if problem != self.problem:
            details = {"connector": self.connector, "why": problem, "used": "the pair before"}
            log.warning("credentials.unusable", extra=details)
        self.problem = problem

    def _clear_problem(self) -> None:
        if self.problem:
            log.info("credentials.usable", extra={"connector": self.connector})
        self.problem = ""


def open_stores(config: RunnerConfig, environment: Mapping[str, str]) -> dict[str, CredentialStore]:
    """The credentials of every venue that needs some. Raises :class:`ConfigError` naming what is
    missing."""
    stores = {}
    for venue in config.venues:
        if venue.connector != "paper":
            own = config.state_dir / "credentials" / venue.name
            directory = venue.credentials_dir or (own if own.is_dir() else None)
            stores[venue.name] = CredentialStore.open(
                venue.connector, directory, environment, expected_dir=own
            )
    return stores
