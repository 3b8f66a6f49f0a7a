"""The desired run of a runner, as the builders take it.

`controllers/runner/desired_run.py` decides it.
"""

from __future__ import annotations

from dataclasses import dataclass

from tradepulse_operator.api.policy import StateOnRollback
from tradepulse_operator.api.release import Release


@dataclass(frozen=True)
class Prepare:
    """What the state container does before the process starts; each keyed and done once.

    `image`: release whose code handles the state, always the source, which wrote it.
    """

    image: str
    backup: str | None = None
    restore: str | None = None
    mode: StateOnRollback = StateOnRollback.KEEP
    incident: str | None = None
    #: Of a restore: checksum of the manifest that was recorded when the backup was made, and the
    #: rollback's nonce; "" where there is none.
    sha256: str = ""
    nonce: str = ""


@dataclass(frozen=True)
class DesiredRun:
    """The desired run of a runner. Empty `halt` and `kill_switch` mean: trade."""

    release: Release
    replicas: int = 1
    halt: str = ""
    kill_switch: str = ""
    prepare: Prepare | None = None
    #: Whether a pod of another release, or a stuck one, may be deleted to make room.
    replace: bool = False
