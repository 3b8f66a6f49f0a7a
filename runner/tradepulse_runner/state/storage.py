"""Whether the state volume has room: the size of the order state, and the free space."""

from __future__ import annotations

import os
from pathlib import Path

from tradepulse_runner.state.backup import state_files


def storage(state_dir: Path) -> dict[str, int]:
    """Bytes free to this process, and bytes that a backup would take now; {} if it can't be
    read."""
    try:
        disk = os.statvfs(state_dir)
        needed = sum(path.stat().st_size for path in state_files(state_dir))
    except OSError:
        return {}
    return {"free_bytes": disk.f_bavail * disk.f_frsize, "backup_bytes": needed}
