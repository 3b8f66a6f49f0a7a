"""The kill switch: a latch on disk that only a named person opens, giving a reason.

Engaging writes and fsyncs ``kill_switch.json`` before anything else happens, so it survives a
crash in the same instant, a restart and a rollback (it is part of no backup). A latch that cannot
be read counts as engaged: when in doubt, trading stops. The record keeps the latest
engagements and resets, with who and why.

The command line changes the same file while a process runs. A lock file serializes the two;
engaging waits for it only briefly, since a late latch is worse than a lost line of history.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tradepulse_runner.errors import DurabilityLost, SnapshotDamaged, StateError
from tradepulse_runner.files import own
from tradepulse_runner.files.schema import KILL_SWITCH
from tradepulse_runner.files.snapshot import SnapshotFile, Step, make_dirs, no_fault, steps_of

log = logging.getLogger(__name__)
FILE = "kill_switch.json"
LOCK = ".kill_switch.lock"
#: Engagements and resets that the record keeps.
KEEP_HISTORY = 100
#: Seconds that engaging, and resetting, wait for the lock.
ENGAGE_PATIENCE, RESET_PATIENCE = 0.02, 5.0


class KillSwitch:
    """Latch in ``state_dir``; ``clock`` gives unix seconds."""

    def __init__(
        self, state_dir: Path, *, clock: Callable[[], float], step: Step = no_fault
    ) -> None:
        self._clock = clock
        self._lock = state_dir / LOCK
        self._file = SnapshotFile(state_dir / FILE, KILL_SWITCH, step=steps_of("latch", step))
        self.engaged = False
        self.reason = ""
        self.reset_by = ""  # who opened the latch last; "" while engaged or never engaged
        self.damaged = False  # engaged because the record can't be trusted
        self.changed_at = 0.0
        self.history: list[dict[str, Any]] = []
        self._load()

    def _load(self) -> None:
        try:
            snapshot = self._file.load()
        except SnapshotDamaged as exc:
            self._engage_damaged(f"latch file unreadable: {exc}")
            return
        if self._file.damaged or (snapshot is not None and not self._file.path.exists()):
            # The older generation may predate an engagement: do not trust it.
            self._engage_damaged(f"latch file damaged or lost: {self._file.path}")
        elif snapshot is not None:
            self._read(snapshot.payload)
        if snapshot is not None:
            # Records of earlier releases have no history.
            self.history = list(snapshot.payload.get("history", []))

    def _read(self, record: dict[str, Any]) -> None:
        try:
            self.engaged = bool(record["engaged"])
            self.reason = str(record["reason"])
            self.reset_by = str(record["by"])
            self.changed_at = float(record["at"])
        except (KeyError, TypeError, ValueError) as error:
            self._engage_damaged(f"latch file of another release: {type(error).__name__}: {error}")

    def _engage_damaged(self, reason: str) -> None:
        self.engaged, self.reason, self.damaged = True, reason, True

    def engage(self, reason: str, *, by: str = "") -> bool:
        """Latch. Returns False if it was engaged already (the first reason stays).

        ``by``: the person who engages it, or "" for the runner itself. If the disk refuses, the
        switch is still engaged in memory and the :class:`DurabilityLost` is raised for the caller
        to halt on.
        """
        if self.engaged:
            return False
        with _exclusive(self._lock, ENGAGE_PATIENCE):
            self._latch(reason, by)
        return True

    def engage_anew(self, reason: str, *, by: str) -> bool:
        """:meth:`engage`, by what the file says at this moment: somebody may have reset it there
        a moment ago, and the answer "engaged already" would then be wrong."""
        with _exclusive(self._lock, ENGAGE_PATIENCE):
            self._load()
            if self.engaged:
                return False
            self._latch(reason, by)
        return True

    def _latch(self, reason: str, by: str) -> None:
        self.engaged, self.reason, self.reset_by = True, reason, ""
        try:
            self._write("engaged", by=by, reason=reason)
        except DurabilityLost:
            log.critical("kill_switch.not_durable", extra={"reason": reason})
            raise
        log.critical("kill_switch.engaged", extra={"reason": reason, "by": by})

    def reset(self, *, by: str, reason: str) -> None:
        """Open the latch; ``by`` names the person who answers for it, ``reason`` what was wrong and
        why it is over. Raises ValueError without them, :class:`StateError` when there is nothing to
        reset or another process writes the latch, :class:`DurabilityLost`."""
        if not by.strip():
            raise ValueError("a kill switch is reset by a named person: give --by NAME")
        if not reason.strip():
            raise ValueError("say why trading may go on: give --reason TEXT")
        with _exclusive(self._lock, RESET_PATIENCE) as alone:
            if not alone:
                raise StateError(
                    f"{self._lock}: another process has been writing the latch for"
                    f" {RESET_PATIENCE:.0f} s; remedy: look at who, then reset again"
                )
            self._require_unchanged()
            self.engaged, self.reason, self.reset_by = False, "", by.strip()
            self._write("reset", by=by.strip(), reason=reason.strip())
        self.damaged = False
        log.warning("kill_switch.reset", extra={"by": by, "reason": reason})

    def _require_unchanged(self) -> None:
        """Nobody opens a latch for a reason that they never saw."""
        engaged, reason, at = self.engaged, self.reason, self.changed_at
        self._load()
        if not (engaged and self.engaged):
            raise StateError(f"{self._file.path}: not engaged; remedy: none, nothing to reset")
        if (reason, at) != (self.reason, self.changed_at):
            raise StateError(
                f"{self._file.path}: engaged anew meanwhile: {self.reason}; remedy: look at that"
                " reason, then reset again"
            )

    def _write(self, event: str, *, by: str, reason: str) -> None:
        self.changed_at = self._clock()
        entry = {"event": event, "at": self.changed_at, "by": by, "reason": reason}
        self.history = [*self.history, entry][-KEEP_HISTORY:]
        self._file.save(
            {
                "engaged": self.engaged,
                "reason": self.reason,
                "by": self.reset_by,
                "at": self.changed_at,
                "history": self.history,
            }
        )


@contextlib.contextmanager
def _exclusive(path: Path, patience: float) -> Iterator[bool]:
    """Take the lock for the block; False when it could not be had within ``patience`` seconds."""
    try:
        make_dirs(path.parent)
        fd = own.lock_file(path)
    except OSError:
        yield False  # a failing disk is reported when the latch is written
        return
    try:
        yield _locked(fd, patience)
    finally:
        os.close(fd)


def _locked(fd: int, patience: float) -> bool:
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.002)


class LatchWatch:
    """Detects changes that the command line made to the latch of a running process."""

    def __init__(
        self, state_dir: Path, *, clock: Callable[[], float], step: Step = no_fault
    ) -> None:
        self._state_dir, self._clock, self._step = state_dir, clock, step
        self._seen: object = None
        self._damaged_reads = 0

    def changed(self, known: KillSwitch) -> KillSwitch | None:
        """The latch as it is on disk if that differs from ``known`` and can be acted on.

        An engagement counts at once; a damaged record only when it is read twice in a row, since a
        writer moves the old file away before the new one exists. A reset counts only with a
        person's name: a missing file never opens the latch.
        """
        stamp = self._stamp()
        if stamp == self._seen and not self._damaged_reads:
            return None
        latch = KillSwitch(self._state_dir, clock=self._clock, step=self._step)
        self._damaged_reads = self._damaged_reads + 1 if latch.damaged else 0
        if latch.damaged and self._damaged_reads < 2:
            return None
        self._seen = stamp
        if latch.engaged == known.engaged:
            return None
        return latch if latch.engaged or latch.reset_by else None

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            stat = (self._state_dir / FILE).stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size
