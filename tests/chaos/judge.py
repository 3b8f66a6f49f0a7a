"""The verdict on one case: what the venue knows against what the runner's files say.

The files are read as they lie on disk, not from the memory of the process that wrote them.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.strategy import Decision
from tests.chaos.venue_state import VenueState
from tradepulse_runner.domain import ZERO, OrderStatus
from tradepulse_runner.files.schema import ORDER_BOOK
from tradepulse_runner.files.snapshot import read_snapshot
from tradepulse_runner.oms.state import OmsState

#: Of an order that never reached the venue.
NEVER = (OrderStatus.EXPIRED, OrderStatus.REJECTED)


@dataclass
class Verdict:
    """Counts of what must not be, and a line for each finding."""

    lost: int = 0
    doubled: int = 0
    differing: int = 0
    resting: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not self.findings

    def find(self, text: str) -> None:
        self.findings.append(text)


def judge(
    venue_state: VenueState,
    decisions: list[Decision],
    state_dir: Path,
    venue: str,
    *,
    notes: list[dict[str, Any]],
    history: bool = True,
) -> Verdict:
    """``history``: whether the book must also hold every closed order, fill and the cash; a book
    whose files were damaged may have lost what is over, never what is held or rests."""
    verdict = Verdict()
    snapshot = read_snapshot(state_dir / f"{venue}_oms.json", ORDER_BOOK)
    state = OmsState.from_json(snapshot.payload["state"])
    _doubled(venue_state, decisions, verdict)
    _rests(venue_state, state, verdict)
    _positions(venue_state, state, verdict)
    if history:
        _orders(venue_state, state, verdict)
        _fills(venue_state, state, verdict)
        _no_surprise(notes, verdict)
    return verdict


def _doubled(venue_state: VenueState, decisions: list[Decision], verdict: Verdict) -> None:
    wanted = {decision.quantity: decision for decision in decisions}
    for client_id, times in Counter(order.client_id for order in venue_state.orders).items():
        if times > 1:
            verdict.doubled += times - 1
            verdict.find(f"doubled: the venue accepted {client_id} {times} times")
    for quantity, times in Counter(order.quantity for order in venue_state.orders).items():
        if times > 1:
            verdict.doubled += times - 1
            verdict.find(f"doubled: decision {quantity} is {times} orders at the venue")
    for order in venue_state.orders:
        found = wanted.get(order.quantity)
        there = Decision(order.quantity, order.symbol, order.side, order.type, order.price)
        if found != there:
            verdict.doubled += 1
            verdict.find(f"invented: {order} stems from no decision (nearest: {found})")


def _rests(venue_state: VenueState, state: OmsState, verdict: Verdict) -> None:
    verdict.resting = venue_state.resting
    if venue_state.resting:
        verdict.find(f"resting: {venue_state.resting} orders after a clean shutdown")
    if state.live:
        verdict.find(f"resting: the book still holds {sorted(state.live)}")


def _orders(venue_state: VenueState, state: OmsState, verdict: Verdict) -> None:
    for order in venue_state.orders:
        known = state.orders.get(order.client_id)
        if known is None:
            verdict.lost += 1
            verdict.find(f"lost: {order.client_id} is at the venue and not in the book")
        elif (known.filled, known.status) != (order.filled, order.status):
            verdict.differing += 1
            ours = f"{known.status} {known.filled} ({known.reason})"
            verdict.find(f"differs: {order.client_id} is {order.status} {order.filled}, not {ours}")
    there = {order.client_id for order in venue_state.orders}
    for known in state.orders.values():
        if known.client_id not in there and known.status not in NEVER:
            verdict.differing += 1
            verdict.find(f"differs: {known.client_id} is {known.status}, the venue never saw it")


def _positions(venue_state: VenueState, state: OmsState, verdict: Verdict) -> None:
    for symbol in sorted({*venue_state.positions, *state.positions}):
        theirs = venue_state.positions.get(symbol, ZERO)
        ours = state.positions.get(symbol, ZERO)
        if theirs != ours:
            verdict.differing += 1
            verdict.find(f"position: {symbol} is {theirs} at the venue, {ours} in the book")


def _fills(venue_state: VenueState, state: OmsState, verdict: Verdict) -> None:
    ours = set(state.trades)
    if missing := venue_state.fills - ours:
        verdict.lost += len(missing)
        verdict.find(f"lost: fills {sorted(missing)} are not in the book")
    if invented := ours - venue_state.fills:
        verdict.doubled += len(invented)
        verdict.find(f"invented: fills {sorted(invented)} are not at the venue")
    if state.cash != venue_state.cash:
        verdict.differing += 1
        verdict.find(f"cash: {venue_state.cash} by the venue's fills, {state.cash} in the book")


def _no_surprise(notes: list[dict[str, Any]], verdict: Verdict) -> None:
    """A position that had to be corrected was wrong before, even if it is right now."""
    for row in notes:
        if row.get("drift") in ("position", "fills_missing", "order_vanished"):
            verdict.differing += 1
            verdict.find(f"drift: {row['drift']}: {row['of']}")


def read_notes(folder: Path) -> list[dict[str, Any]]:
    path = folder / "notes"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
