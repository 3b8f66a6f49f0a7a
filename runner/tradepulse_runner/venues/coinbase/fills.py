"""Own trades since a cursor, complete and each once, out of a list that promises neither.

Coinbase's fills are filtered by ``sequence_timestamp``, which several may share, and nothing says
that they appear in its order. So every read begins :data:`OVERLAP` before the newest one read, and
what was read before is left out again. Left out is only what is known to be *booked*: the caller
comes back with a page's cursor when it booked that page. After a restart nothing is known, and the
overlap is returned once more: the caller's book knows its trades by id.

A cursor is a small JSON text: ``t`` newest ``sequence_timestamp`` read (microseconds), ``n`` a
number that makes it unlike any before, and, for one overlap after a fresh beginning, ``from``,
before which nothing may be returned, with ``not``, the ids exactly there that are known.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tradepulse_runner.domain import Trade, TradePage
from tradepulse_runner.errors import OutcomeUnknown
from tradepulse_runner.venues.coinbase.wire import Fill

#: Microseconds that a fill may appear late.
OVERLAP = 30_000_000
#: Fills of the overlap returned again after a restart: fewer than the trades that a book remembers
#: (:data:`tradepulse_runner.oms.state.KEEP_TRADES`), or it would book the oldest twice.
MAX_REPEATED = 1_500

Read = Callable[[int | None], Coroutine[Any, Any, list[Fill]]]
Owners = Callable[[Iterable[str]], Coroutine[Any, Any, Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class Cursor:
    """See the module's text."""

    newest: int = 0
    number: int = 0
    begin: int = 0
    known: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Cursor:
        try:
            raw = json.loads(text)
            known = tuple(str(entry) for entry in raw.get("not", ()))
            return cls(int(raw["t"]), int(raw["n"]), int(raw.get("from", 0)), known)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise OutcomeUnknown(f"trade cursor {text[:80]!r} is not one of Coinbase's") from None

    def __str__(self) -> str:
        raw: dict[str, Any] = {"t": self.newest, "n": self.number}
        if self.begin > self.newest - OVERLAP:
            raw |= {"from": self.begin, "not": list(self.known)}
        return json.dumps(raw, separators=(",", ":"))

    def new(self, fill: Fill) -> bool:
        """Whether ``fill`` is not older than the fresh beginning."""
        return fill.at > self.begin or (fill.at == self.begin and fill.entry_id not in self.known)


class FillReader:
    """``read`` lists the fills from a time on (microseconds, 0: all; None: the newest page);
    ``owners`` finds the client ids of orders."""

    def __init__(self, read: Read, owners: Owners) -> None:
        self._read, self._owners = read, owners
        self._numbers = itertools.count(1)
        self._offered = ("", frozenset[str]())  # the last page: its cursor, its ids
        self._booked: dict[str, int] = {}  # entry id -> at, of the last overlap

    async def since(self, text: str | None) -> TradePage:
        """Trades after the cursor ``text``, oldest first; None: only the newest cursor."""
        if text is None:
            return TradePage((), str(_beginning(await self._read(None))))
        cursor = Cursor.parse(text)
        fills = await self._read(max(0, cursor.newest - OVERLAP))
        self._mark_booked(text, fills)
        new = [f for f in fills if f.entry_id not in self._booked and cursor.new(f)]
        new.sort(key=lambda fill: (fill.at, fill.timestamp, fill.entry_id))
        if not new:
            return TradePage((), text)
        trades = await self._trades(_bounded(new, cursor.newest))
        page = Cursor(
            max(cursor.newest, new[-1].at), self._next(cursor), cursor.begin, cursor.known
        )
        self._offered = (str(page), frozenset(fill.entry_id for fill in new))
        return TradePage(trades, str(page))

    def _mark_booked(self, text: str, fills: list[Fill]) -> None:
        """A caller with the cursor of the last page has booked that page."""
        offered, ids = self._offered
        at = {fill.entry_id: fill.at for fill in fills}
        booked = {*self._booked, *(ids if text == offered else ())}
        # What the list no longer reaches back to needs no remembering.
        self._booked = {entry: at[entry] for entry in booked if entry in at}

    def _next(self, cursor: Cursor) -> int:
        return next(n for n in self._numbers if n > cursor.number)

    async def _trades(self, fills: list[Fill]) -> tuple[Trade, ...]:
        owners = await self._owners({fill.venue_id for fill in fills})
        return tuple(fill.trade(owners[fill.venue_id]) for fill in fills)


def _bounded(fills: list[Fill], newest: int) -> list[Fill]:
    """All that is new, and no more of what may have been returned before than a book keeps."""
    old = [fill for fill in fills if fill.at <= newest]
    return old[-MAX_REPEATED:] + fills[len(old) :]


def _beginning(fills: list[Fill]) -> Cursor:
    newest = max((fill.at for fill in fills), default=0)
    known = sorted(fill.entry_id for fill in fills if fill.at == newest)
    return Cursor(newest, 0, newest, tuple(known))
