"""How long a process was ready to run and the machine gave it no processor.

A campaign that runs beside other work may be starved: requests time out because nobody computes
their answers, and a runner "never trades" through no fault of its own. The kernel counts that wait
exactly, so such a case can be told from a runner that is stuck, which waits for nothing.
"""

from __future__ import annotations

import time
from pathlib import Path

#: Share of a life without a processor from which on its time limits prove nothing. A start is given
#: 15 s and takes up to 3 (99th percentile): who was given less than a quarter may have had less
#: than it takes. Most get through with far less still, so nobody who is stuck is excused: the case
#: is tried again.
STARVED = 0.75


def waited(pid: int) -> float:
    """Seconds that the main thread of ``pid`` was runnable and didn't run (``/proc/PID/schedstat``,
    the second number, nanoseconds); 0 when the kernel doesn't tell."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


class CpuStarvation:
    """The share of the time since it was made for which one of ``pids`` waited, the hungriest's."""

    def __init__(self, *pids: int) -> None:
        self._began = time.monotonic()
        self._before = {pid: waited(pid) for pid in pids}

    def share(self) -> float:
        """Ask while all of them are still there, or not reaped yet."""
        took = max(time.monotonic() - self._began, 1e-9)
        hungriest = max((waited(p) - before) / took for p, before in self._before.items())
        return min(hungriest, 1.0)  # the two clocks differ a little
