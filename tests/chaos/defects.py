"""Defects that bots have had, planted on purpose: a campaign that misses them proves nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tradepulse_runner.domain import OrderStatus, Trade
from tradepulse_runner.errors import RiskRejected
from tradepulse_runner.killswitch import KillSwitch
from tradepulse_runner.live.reconciliation import Reconciliation
from tradepulse_runner.live.session import VenueSession
from tradepulse_runner.live.submission import Submitter
from tradepulse_runner.oms.book import Oms
from tradepulse_runner.oms.state import OmsState, OrderRecord, Record, trade_to_json


def written_afterwards() -> None:
    """The order is written down when it was answered, not before it is sent."""
    original = Oms._write
    held: dict[str, list[Record]] = defaultdict(list)

    def write(oms: Oms, **record: Any) -> None:
        if record["t"] in ("queued", "intent"):
            held[record["id"]].append(record)
            oms.state.apply(record)
            return
        for early in held.pop(record.get("id", ""), []):
            oms._journal.append(early)
        original(oms, **record)

    _replace(Oms, _write=write)


def sent_again() -> None:
    """An order without an answer counts as failed, and is sent anew under another id."""
    original = Submitter._send

    async def send(submitter: Submitter, session: VenueSession, client_id: str) -> None:
        await original(submitter, session, client_id)
        record = session.oms.state.orders[client_id]
        if record.status is OrderStatus.UNKNOWN:
            try:
                submitter.submit(session.name, record.order)
            except RiskRejected:
                return

    _replace(Submitter, _send=send)


def sent_again_at_start() -> None:
    """What isn't among the open orders after a start is sent again under its id."""
    original = Reconciliation._settle_absent

    async def settle(reconciliation: Reconciliation, client_id: str) -> None:
        session = reconciliation._session
        known = session.oms.state.live.get(client_id)
        if known is not None and not session.reconciled:
            await session.ask(session.connector.place_order(known.order, client_id))
        await original(reconciliation, client_id)

    _replace(Reconciliation, _settle_absent=settle)


def hasty() -> None:
    """An order that isn't found was never accepted, however young it is."""

    def settle(reconciliation: Reconciliation, known: OrderRecord) -> None:
        reconciliation._session.oms.expired(known.client_id, "not found")

    _replace(Reconciliation, _settle_not_found=settle)


def counted_twice() -> None:
    """A fill that is told twice is booked twice."""
    original = OmsState._on_fill

    def fill(state: OmsState, record: dict[str, dict[str, str]]) -> None:
        state.trades.pop(record["trade"]["trade_id"], None)
        original(state, record)

    def early(oms: Oms, trade: Trade) -> bool:
        oms._write(t="fill", trade=trade_to_json(trade))
        return True

    _replace(OmsState, _on_fill=fill)
    _replace(Oms, book_early=early)


def forgetful() -> None:
    """The kill switch lives in memory."""

    def write(switch: KillSwitch, *_: object, **__: object) -> None:
        for step in ("open", "write", "fsync", "rename", "fsync-dir"):
            switch._file._step(step)

    _replace(KillSwitch, _write=write)


def _replace(owner: type, **methods: Callable[..., object]) -> None:
    for name, method in methods.items():
        assert hasattr(owner, name), f"{owner.__name__}.{name} is gone: plant the defect anew"
        setattr(owner, name, method)


#: Each with points at which it shows.
DEFECTS: dict[str, tuple[Callable[[], None], str]] = {
    "written-afterwards": (written_afterwards, "request.answered,open.append"),
    "sent-again": (sent_again, "journal.drop,snapshot.fsync-dir"),
    "sent-again-at-start": (sent_again_at_start, "request.answered,reconcile.fetch"),
    "hasty": (hasty, "journal.drop,snapshot.fsync-dir"),
    "counted-twice": (counted_twice, "cursor.append"),
    "forgetful": (forgetful, "latch.fsync-dir"),
}
