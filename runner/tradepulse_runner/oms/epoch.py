"""The writer epoch: a number that only rises, persisted before it is used, and published in the
writer lease where there is one.

Client order ids contain it, so two processes (or one process and its restored backup) can never
make the same id. ``incarnation`` is random and made once per state directory: even a lost volume
cannot repeat ids. Restores never touch this file.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path

from tradepulse_runner.errors import SnapshotDamaged
from tradepulse_runner.files.schema import EPOCH
from tradepulse_runner.files.snapshot import SnapshotFile, Step, no_fault, steps_of

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
ID_LIMIT = 36


def base36(number: int) -> str:
    """``number`` ≥ 0 in base 36."""
    text = ""
    while True:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
        if number == 0:
            return text


@dataclass(slots=True)
class OrderIds:
    """Client order ids ``tp-<runner>-<incarnation>-<epoch>-<seq>``, at most 36 characters."""

    prefix: str
    incarnation: str
    epoch: int
    seq: int = 0

    def next(self) -> str:
        self.seq += 1
        made = f"{self.prefix}{self.incarnation}-{base36(self.epoch)}-{base36(self.seq)}"
        if len(made) > ID_LIMIT:
            raise OverflowError(f"client order id {made!r} exceeds {ID_LIMIT} characters")
        return made

    def ours(self, client_id: str) -> bool:
        """Whether this runner, in any incarnation, made ``client_id``."""
        return client_id.startswith(self.prefix)


def known_epoch(state_dir: Path) -> int:
    """The highest epoch under which an order may have been sent from this state; 0: none."""
    return _load(state_dir)[1]


def claim_epoch(
    state_dir: Path, runner: str, *, at_least: int = 0, step: Step = no_fault
) -> OrderIds:
    """Raise the epoch, durably, by one or to ``at_least``, and return the id source for it.

    ``runner`` is ``namespace/name``. A damaged file starts a new incarnation: unique again.
    """
    file, known = _load(state_dir, step)
    epoch = max(known + 1, at_least)
    current = file.current
    incarnation = str(current.payload["incarnation"]) if current else secrets.token_hex(4)
    file.save({"epoch": epoch, "incarnation": incarnation})
    digest = hashlib.sha256(runner.encode()).hexdigest()[:8]
    return OrderIds(f"tp-{digest}-", incarnation, epoch)


def _load(state_dir: Path, step: Step = no_fault) -> tuple[SnapshotFile, int]:
    file = SnapshotFile(state_dir / "epoch.json", EPOCH, step=steps_of("epoch", step))
    try:
        snapshot = file.load()
    except SnapshotDamaged:
        snapshot = None
    epoch = int(snapshot.payload["epoch"]) if snapshot else 0
    # ``.prev`` may miss the newest epochs: skip far ahead rather than reuse one.
    unsure = file.damaged or (snapshot and not file.path.exists())
    return file, epoch + (999 if unsure else 0)
