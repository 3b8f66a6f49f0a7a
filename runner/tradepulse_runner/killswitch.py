"""The kill switch: a latch on disk that only a named person opens.

Engaging writes and fsyncs ``kill_switch.json`` before anything else happens, so it survives a
crash in the same instant, a restart and a rollback. A latch that cannot be read counts as
engaged: the safe side of a doubt is not trading.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from tradepulse_runner.errors import DurabilityLost, SnapshotDamaged
from tradepulse_runner.snapshot import SnapshotFile, Step, no_fault, steps_of

log = logging.getLogger(__name__)
FILE = "kill_switch.json"


class KillSwitch:
    """Latch in ``state_dir``; ``clock`` gives unix seconds."""

    def __init__(
        self, state_dir: Path, *, clock: Callable[[], float], step: Step = no_fault
    ) -> None:
        self._clock = clock
        self._file = SnapshotFile(state_dir / FILE, step=steps_of("latch", step))
        self.engaged = False
        self.reason = ""
        self.reset_by = ""  # who opened the latch last; "" while engaged or never engaged
        try:
            found = self._file.load()
        except SnapshotDamaged as exc:
            self.engaged, self.reason = True, f"latch file unreadable: {exc}"
            return
        if self._file.damaged or (found is not None and not self._file.path.exists()):
            # The older generation may predate an engagement: do not believe it.
            self.engaged, self.reason = True, f"latch file damaged or lost: {self._file.path}"
        elif found is not None:
            self.engaged = bool(found.payload["engaged"])
            self.reason = str(found.payload["reason"])
            self.reset_by = str(found.payload["by"])

    def engage(self, reason: str) -> bool:
        """Latch. Returns False if it was engaged already (the first reason stays).

        If the disk refuses, the switch is still engaged in memory and the
        :class:`DurabilityLost` is raised for the caller to halt on.
        """
        if self.engaged:
            return False
        self.engaged, self.reason, self.reset_by = True, reason, ""
        try:
            self._write()
        except DurabilityLost:
            log.critical("kill_switch.not_durable", extra={"reason": reason})
            raise
        log.critical("kill_switch.engaged", extra={"reason": reason})
        return True

    def reset(self, *, by: str) -> None:
        """Open the latch; ``by`` names the person who answers for it."""
        if not by.strip():
            raise ValueError("a kill switch is reset by a named person: give --by NAME")
        self.engaged, self.reason, self.reset_by = False, "", by.strip()
        self._write()
        log.warning("kill_switch.reset", extra={"by": by})

    def _write(self) -> None:
        who, now = self.reset_by, self._clock()
        self._file.save({"engaged": self.engaged, "reason": self.reason, "by": who, "at": now})
