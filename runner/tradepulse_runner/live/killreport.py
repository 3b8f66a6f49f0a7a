"""What the kill switch could not cancel, for the people who must: kept on disk next to the latch.

The latch stays small and is written once; this is rewritten while the sweep works. Both are in no
backup. After a restart the sweep begins anew, and the list is made anew, from the order books and
the venue.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tradepulse_runner.files.schema import KILL_REPORT
from tradepulse_runner.files.snapshot import SnapshotFile
from tradepulse_runner.killswitch import KillSwitch
from tradepulse_runner.live.session import VenueSession
from tradepulse_runner.oms.state import OrderRecord

log = logging.getLogger(__name__)
FILE = "kill_report.json"
#: Orders listed one by one in ``/status``, whose readers bound it, and in a log line (the file
#: lists all); and characters kept of a venue's error text.
SHOWN, LONGEST = 20, 200


def uncancelled(sessions: Iterable[VenueSession]) -> list[dict[str, str]]:
    """Orders that rest or may rest at a venue, and why they weren't cancelled; quantities in base
    units as decimal strings."""
    return [
        _entry(session, record)
        for session in sessions
        for record in session.oms.state.live.values()
        if session.may_rest(record)
    ]


def _entry(session: VenueSession, record: OrderRecord) -> dict[str, str]:
    return {
        "venue": session.name,
        "order": record.client_id,
        "venue_id": record.venue_id,
        "symbol": record.order.symbol,
        "side": str(record.order.side),
        "remaining": str(record.remaining),
        "status": str(record.status),
        "algo": record.order.algo,
        "owner": record.owner,
        "why": session.refused_cancels.get(record.client_id, "not answered yet")[:LONGEST],
    }


class KillReport:
    """``kill_report.json`` of ``state_dir``. ``clock`` gives unix seconds."""

    def __init__(self, state_dir: Path, *, clock: Callable[[], float]) -> None:
        self._file, self._clock = SnapshotFile(state_dir / FILE, KILL_REPORT), clock
        self._written: dict[str, Any] = {}
        self.orders: list[dict[str, str]] = []

    async def save(self, switch: KillSwitch, *, complete: bool) -> None:
        """Write the list if it changed. ``complete``: every venue was reconciled and nothing is
        left. Raises :class:`DurabilityLost`."""
        content = {
            "engaged_at": switch.changed_at,
            "reason": switch.reason,
            "complete": complete,
            "uncancelled": self.orders,
        }
        if content == self._written:
            return
        self._log(content)
        self._written = content
        await asyncio.to_thread(self._file.save, {**content, "at": self._clock()})

    def _log(self, content: dict[str, Any]) -> None:
        if content["complete"]:
            log.warning("kill_switch.all_cancelled")
        elif self.orders and self.orders != self._written.get("uncancelled"):
            left = [entry["order"] for entry in self.orders]
            log.error("kill_switch.uncancelled", extra={"orders": left[:SHOWN], "n": len(left)})


def read_report(state_dir: Path) -> dict[str, Any] | None:
    """The last report, or None when there is none. Raises :class:`StateError`."""
    snapshot = SnapshotFile(state_dir / FILE, KILL_REPORT).load()
    return snapshot.payload if snapshot else None
