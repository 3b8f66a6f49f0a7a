"""Appends every access and every refusal to the audit trail.

A refusal is cheap to provoke, while a record costs a write to the disk of the order journal. So the
records of refusals are limited per minute; further ones are counted, and the next record has their
number.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from tradepulse_runner.admin.identity import Identity
from tradepulse_runner.admin.limits import RateLimiter
from tradepulse_runner.errors import RunnerError

log = logging.getLogger(__name__)
#: Records of refusals a minute, from all callers together.
REFUSALS = 60
#: Appends a record (kind, body) and returns once it is on disk.
Append = Callable[[str, dict[str, Any]], object]


class Auditor:
    """Serializes records. ``append`` is blocking and is called from a thread."""

    def __init__(self, append: Append, timer: Callable[[], float]) -> None:
        self._append = append
        self._lock = asyncio.Lock()
        self._budget = RateLimiter(timer, limit=REFUSALS)
        self._unrecorded = 0

    async def record(self, kind: str, identity: Identity, address: str, **details: Any) -> bool:
        """Record an access of ``identity``; False, with an error in the log, when that fails."""
        body = {"who": identity.name, "method": identity.method, "address": address, **details}
        return await self._write(kind, body)

    async def refused(self, kind: str, name: str, address: str, **details: Any) -> None:
        """Record a refusal; ``name`` is "" for a caller that is not authenticated."""
        if self._budget.retry_after("all"):
            self._unrecorded += 1
            return
        body = {"who": name, "address": address, **details}
        if self._unrecorded:
            body["not_recorded_before"] = self._unrecorded
        self._unrecorded = 0
        await self._write(kind, body)

    async def _write(self, kind: str, body: dict[str, Any]) -> bool:
        try:
            async with self._lock:
                await asyncio.to_thread(self._append, kind, body)
        except (RunnerError, OSError) as error:
            log.error("admin.not_recorded", extra={"kind": kind, "why": str(error)})
            return False
        return True
