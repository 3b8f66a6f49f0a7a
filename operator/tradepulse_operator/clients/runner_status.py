"""What the runner's process says of itself, over HTTP."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import aiohttp

from tradepulse_operator.common.names import HTTP_PORT
from tradepulse_operator.controllers.observed.views import ProcessView

from . import runner_data_services as streams
from .http_body import bounded

TIMEOUT = 2.0
#: A status is about 1 KiB, and up to 400 KiB with 256 partitions of topics with long names that
#: eight groups read; more than this is something else.
_LARGEST = 512 * 1024


class Process:
    """Reads the status endpoint of a runner's pod."""

    def __init__(
        self, session: aiohttp.ClientSession, *, port: int = HTTP_PORT, timeout: float = TIMEOUT
    ) -> None:
        self._session = session
        self._port = port
        self._timeout = aiohttp.ClientTimeout(total=timeout)

    async def status(self, address: str) -> ProcessView | None:
        """The status of the process at `address` (an IP); None when it gives none in 2 s."""
        try:
            # Only an address: a name could lead anywhere, and brackets differ for IPv6.
            found = ipaddress.ip_address(address)
            host = f"[{found}]" if found.version == 6 else str(found)
            url = f"http://{host}:{self._port}/status"
            async with self._session.get(
                url, timeout=self._timeout, allow_redirects=False
            ) as answer:
                if answer.status != 200:
                    return None
                return view(json.loads(await bounded(answer, _LARGEST)))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None


def view(status: Any) -> ProcessView | None:
    """The parts of a status that decisions need; None when it isn't one."""
    try:
        halt, kill = status.get("halt") or {}, status.get("kill_switch") or {}
        epoch = status.get("writer_epoch")
        room, orders = status.get("storage") or {}, status.get("orders") or {}
        p95 = (status.get("guard") or {}).get("latency_p95_ms")
        failed = int(orders.get("error") or 0)
        snapshot = status.get("snapshot") or {}
        return ProcessView(
            state=str(status["state"]),
            halt_token=str(halt.get("token") or ""),
            halt_complete=halt.get("complete") is True,
            kill_switch=_engaged(kill),
            kill_switch_reason=str(kill.get("reason") or ""),
            open_orders=int(status.get("open_orders") or 0),
            unknown_orders=int(status.get("unknown_orders") or 0),
            open_venues=_open_venues(status.get("venues")),
            writer_epoch=None if epoch is None else int(epoch),
            store_problem=_store_problem(status.get("object_store")),
            database_problem=_problem(status.get("database")),
            bus_problem=_problem(status.get("bus")),
            siem_problem=_problem(status.get("siem")),
            bus=streams.bus(status.get("bus")),
            database=streams.database(status.get("database")),
            free_bytes=_whole(room.get("free_bytes")),
            backup_bytes=_whole(room.get("backup_bytes")),
            orders=int(orders.get("ok") or 0) + failed,
            failed_orders=failed,
            p95_milliseconds=None if p95 is None else float(p95),
            positions=_positions(status.get("positions") or {}),
            snapshot_generation=int(snapshot.get("generation") or 0),
            snapshot_sha256=str(snapshot.get("sha256") or ""),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _engaged(kill: Mapping[str, Any]) -> bool:
    """Whether the kill switch is engaged. Raises TypeError for a value that says neither: "true"
    must not be taken for released."""
    engaged = kill.get("engaged", False)
    if not isinstance(engaged, bool):
        raise TypeError(f"kill_switch.engaged is {engaged!r}")
    return engaged


def _open_venues(venues: Any) -> tuple[str, ...] | None:
    """The venues that take new orders; what can't be read counts as one that does."""
    if not isinstance(venues, dict):
        return None
    closed = {name for name, it in venues.items() if dict(it).get("takes_orders") is False}
    return tuple(sorted(str(name) for name in venues.keys() - closed))


def _positions(venues: Mapping[str, Mapping[str, str]]) -> tuple[tuple[str, str, str], ...]:
    """What is held, by venue and symbol; what is flat holds nothing. No decision rests on it, so
    what can't be read spoils nothing else."""
    try:
        held = [
            (str(venue), str(symbol), str(quantity))
            for venue, symbols in venues.items()
            for symbol, quantity in symbols.items()
            if Decimal(quantity)
        ]
    except (ArithmeticError, AttributeError, TypeError, ValueError):
        return ()
    return tuple(sorted(held))


def _store_problem(store: Any) -> str | None:
    """Why copies are missing in the object store; a count of them would change all the time."""
    if not isinstance(store, dict):
        return None
    problem = str(store.get("problem") or "")
    return problem or ("not all of it is copied yet" if store.get("pending") else "")


def _problem(part: Any) -> str | None:
    """Why an optional service lacks what it should have. What is pending for a moment is none: each
    look at the process adds to it."""
    return str(part.get("problem") or "") if isinstance(part, dict) else None


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
