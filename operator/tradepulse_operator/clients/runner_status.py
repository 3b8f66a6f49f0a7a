"""What the runner's process says of itself, over HTTP.

The process may be a release that is about to be rolled back: what it says is hostile input. A field
that decides something (state, halt, kill switch, orders) must be of its very type, or there is no
view at all; any other part that can't be read is left out by itself.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

import aiohttp

from tradepulse_operator.api.untrusted import Unreadable, finite, mapping, parse, text, truth, whole
from tradepulse_operator.clients.http import bounded
from tradepulse_operator.common.names import HTTP_PORT
from tradepulse_operator.controllers.observed.views import ProcessView

from . import runner_data_services as streams

TIMEOUT = 2.0
#: A status is about 1 KiB, and up to 400 KiB with 256 partitions of topics with long names that
#: eight groups read; more than this is something else.
_LARGEST = 512 * 1024
_LONGEST_STATE = 64
#: Characters of a name of a venue or instrument, of a quantity, and of a checksum.
_LONGEST_NAME = 256
_LONGEST_QUANTITY = 64
_MOST_VENUES = 64

T = TypeVar("T")

_log = logging.getLogger(__name__)


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
            body = await self._body(address)
            return None if body is None else view(parse(body, _LARGEST))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None
        except Exception:
            # No answer may end the reconciliation: it must go on giving orders to halt or kill.
            _log.exception("the status of the process at %s can't be read", address)
            return None

    async def _body(self, address: str) -> bytes | None:
        # Only an address: a name could lead anywhere, and brackets differ for IPv6.
        ip = ipaddress.ip_address(address)
        host = f"[{ip}]" if ip.version == 6 else str(ip)
        async with self._session.get(
            f"http://{host}:{self._port}/status",
            timeout=self._timeout,
            allow_redirects=False,
            # Compressed, a few bytes are many megabytes before anybody counts them.
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
        ) as answer:
            return await bounded(answer, _LARGEST) if answer.status == 200 else None


def view(status: Any) -> ProcessView | None:
    """The parts of a status that decisions need; None when it isn't one."""
    try:
        return _view(mapping(status))
    except (KeyError, Unreadable):
        return None


def _view(status: Mapping[str, Any]) -> ProcessView:
    """Raises KeyError, Unreadable when what decides something can't be read."""
    halt, kill = mapping(status.get("halt")), mapping(status.get("kill_switch"))
    orders = mapping(status.get("orders"))
    good, failed = _or(0, whole, orders.get("ok")), _or(0, whole, orders.get("error"))
    room, snapshot = _part(status, "storage"), _part(status, "snapshot")
    return ProcessView(
        state=text(status["state"], _LONGEST_STATE),
        halt_token=_or("", text, halt.get("token")),
        halt_complete=halt.get("complete") is True,
        kill_switch=truth(kill.get("engaged", False)),
        kill_switch_reason=_readable(text, kill.get("reason")) or "",
        open_orders=_or(0, whole, status.get("open_orders")),
        unknown_orders=_or(0, whole, status.get("unknown_orders")),
        open_venues=_open_venues(status.get("venues")),
        writer_epoch=_readable(whole, status.get("writer_epoch")),
        store_problem=_store_problem(status.get("object_store")),
        database_problem=_problem(status.get("database")),
        bus_problem=_problem(status.get("bus")),
        siem_problem=_problem(status.get("siem")),
        bus=streams.bus(status.get("bus")),
        database=streams.database(status.get("database")),
        free_bytes=_readable(whole, room.get("free_bytes")),
        backup_bytes=_readable(whole, room.get("backup_bytes")),
        orders=whole(good + failed),
        failed_orders=failed,
        p95_milliseconds=_readable(finite, _part(status, "guard").get("latency_p95_ms")),
        positions=_positions(status.get("positions")),
        snapshot_generation=_readable(whole, snapshot.get("generation")) or 0,
        snapshot_sha256=_readable(_checksum, snapshot.get("sha256")) or "",
    )


def _or(otherwise: T, read: Callable[[Any], T], value: Any) -> T:
    """What decides something: `otherwise` where nothing is said. Raises Unreadable."""
    return otherwise if value is None else read(value)


def _readable(read: Callable[[Any], T], value: Any) -> T | None:
    """What decides nothing: None where nothing is said, and where it can't be read."""
    try:
        return None if value is None else read(value)
    except Unreadable:
        return None


def _part(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part that decides nothing; empty where it can't be read."""
    return _readable(mapping, status.get(name)) or {}


def _checksum(value: Any) -> str:
    """A checksum that was cut is none."""
    digest = text(value)
    if len(digest) > _LONGEST_NAME:
        raise Unreadable("no checksum")
    return digest


def _open_venues(venues: Any) -> tuple[str, ...] | None:
    """The venues that take new orders; what can't be read counts as one that does."""
    if not isinstance(venues, dict):
        return None
    opened = (
        text(name, _LONGEST_NAME)
        for name, it in venues.items()
        if not (isinstance(it, dict) and it.get("takes_orders") is False)
    )
    return tuple(sorted(opened)[:_MOST_VENUES])


def _positions(venues: Any) -> tuple[tuple[str, str, str], ...]:
    """The open positions, by venue and symbol. No decision rests on it, so
    what can't be read spoils nothing else."""
    try:
        positions = [
            (_name(venue), _name(symbol), quantity)
            for venue, symbols in mapping(venues).items()
            for symbol, quantity in mapping(symbols).items()
            if _is_open(quantity)
        ]
    except (ArithmeticError, Unreadable):
        return ()
    return tuple(sorted(positions))


def _name(value: str) -> str:
    return text(value, _LONGEST_NAME)


def _is_open(quantity: Any) -> bool:
    """Whether it is a quantity other than zero. Raises Unreadable, ArithmeticError."""
    if not isinstance(quantity, str) or len(quantity) > _LONGEST_QUANTITY:
        raise Unreadable("no quantity")
    amount = Decimal(quantity)
    if not amount.is_finite():
        raise Unreadable("no quantity")
    return bool(amount)


def _store_problem(store: Any) -> str | None:
    """Why copies are missing in the object store; a count of them would change all the time."""
    if not isinstance(store, dict):
        return None
    problem = _problem(store)
    return problem or ("not all of it is copied yet" if store.get("pending") else "")


def _problem(part: Any) -> str | None:
    """Why an optional service lacks what it should have. What is pending for a moment is none: each
    query of the process adds to it."""
    if not isinstance(part, dict):
        return None
    return _or("", text, part.get("problem")) if _is_text(part.get("problem")) else "unreadable"


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)
