"""The durable OMS of one venue: the pure state, its journal and its snapshots.

``{venue}_oms.json`` holds the state up to a journal sequence number, ``{venue}_journal.*`` what
came after. :meth:`Oms.intend` is the rule that prevents lost orders: it returns only when the
intent is on disk, and nothing is sent before it returns.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from tradepulse_runner.domain import Order, OrderStatus, Trade, VenueOrder
from tradepulse_runner.files.schema import ORDER_BOOK
from tradepulse_runner.files.snapshot import (
    Snapshot,
    SnapshotFile,
    Step,
    make_dirs,
    no_fault,
    steps_of,
)
from tradepulse_runner.oms.journal import Journal, Recovery, list_segments
from tradepulse_runner.oms.state import (
    OmsState,
    OrderRecord,
    order_to_json,
    trade_to_json,
    written_elsewhere,
)

log = logging.getLogger(__name__)
# Snapshot often enough that replay at start stays well under a second. This alone bounds the
# journal: time without records needs no snapshot.
RECORDS_PER_SNAPSHOT = 2_000


class Recorder(Protocol):
    """Receives the journal's records after they were written. Never raises. ``order``: the one that
    the record is about, in its state after it."""

    def replayed(
        self, venue: str, seq: int, record: dict[str, Any], order: OrderRecord | None
    ) -> None:
        """A record that an earlier process wrote."""

    def opened(self, venue: str, seq: int) -> None:
        """Every record up to ``seq`` was replayed, or is in the snapshot."""

    def recorded(
        self, venue: str, seq: int, record: dict[str, Any], order: OrderRecord | None
    ) -> None:
        """A record of this process."""


class Oms:
    """One venue's order book-keeping. All methods belong to one event loop.

    ``owner``: who is responsible for the orders; with the order's ``algo`` it is in the records
    that describe an order (RTS 6 art. 12(3)).
    """

    def __init__(
        self,
        state_dir: Path,
        venue: str,
        *,
        clock: Callable[[], float],
        epoch: int = 0,
        owner: str = "",
        fsync: Callable[[int], None] = os.fsync,
        step: Step = no_fault,
        recorder: Recorder | None = None,
    ) -> None:
        self.venue = venue
        self._recorder = recorder
        self.state = OmsState()
        self.epoch = epoch
        self.owner = owner
        self._dir = state_dir
        self._clock = clock
        self._step = step
        self._journal = Journal(state_dir, venue, fsync=fsync, step=step)
        path = state_dir / f"{venue}_oms.json"
        self._file = SnapshotFile(path, ORDER_BOOK, step=steps_of("snapshot", step))
        self._saved_seq = 0
        self._droppable: list[Path] = []
        self.booked = 0  # fills booked by this process
        self.damaged = 0  # files that could not be read when it opened
        self._save_lock = asyncio.Lock()
        self.fresh = True

    # -- life ------------------------------------------------------------------------------

    def open(self, *, cold_start: bool = False) -> None:
        """Load the last known state; ``cold_start`` sets it aside and begins empty.

        Afterwards ``fresh`` says that nothing is known and everything must be read
        from the venue. Queued orders are expired, never sent: their price is too old. Orders in
        flight become UNKNOWN. Raises :class:`SnapshotDamaged`,
        :class:`SchemaTooNew`.
        """
        evidence = self._dir / "incidents" / "quarantine"
        if cold_start:
            self._move_aside()
        snapshot = self._file.load()
        make_dirs(evidence)
        for path in self._file.damaged:
            self._quarantine(path, evidence)
        after = 0
        if snapshot is not None:
            with written_elsewhere(self._file.path):
                self.state = OmsState.from_json(snapshot.payload["state"])
                after = self._saved_seq = int(snapshot.payload["seq"])
        recovery = self._journal.recover(evidence, after=after)
        for path, last in recovery.segments:
            if not last:
                path.unlink(missing_ok=True)  # a start that was killed before it wrote anything
        self._droppable = [path for path, last in recovery.segments if 0 < last <= after]
        self._log_recovery(recovery)
        self.damaged = len(self._file.damaged) + len(recovery.quarantined)
        self._replay(recovery.records)
        self.fresh = snapshot is None and not recovery.records
        self._age_orders()

    def _log_recovery(self, recovery: Recovery) -> None:
        if recovery.torn_bytes:
            log.warning("journal.torn_tail_cut", extra={"bytes": recovery.torn_bytes})
        for path in recovery.quarantined:
            remedy = "kept as evidence; its records are rebuilt from the venue's orders and trades"
            log.error("journal.damaged", extra={"file": str(path), "remedy": remedy})
        if recovery.missing:
            remedy = "rebuilt from the venue's orders and trades"
            log.error("journal.records_missing", extra={"n": recovery.missing, "remedy": remedy})

    def _replay(self, records: list[tuple[int, dict[str, Any]]]) -> None:
        for seq, record in records:
            with written_elsewhere(f"{self.venue} journal, record {seq}"):
                order = self._apply(record)
            if self._recorder:
                self._recorder.replayed(self.venue, seq, record, order)
        if self._recorder:
            self._recorder.opened(self.venue, self._journal.seq)

    def _age_orders(self) -> None:
        for entry in self.state.with_status(OrderStatus.QUEUED):
            self._status(entry.client_id, OrderStatus.EXPIRED, "queued before restart, never sent")
        for entry in self.state.with_status(OrderStatus.PENDING):
            self._status(entry.client_id, OrderStatus.UNKNOWN, "in flight at restart")

    def _move_aside(self) -> None:
        files = [p for p in (self._file.path, self._file.previous) if p.exists()]
        files += list_segments(self._dir, self.venue)
        if not files:
            return
        target = self._dir / "incidents" / f"cold-start-{self.venue}-{int(self._clock())}"
        make_dirs(target)
        for path in files:
            os.replace(path, target / path.name)
        log.warning("oms.cold_start", extra={"set_aside": str(target), "files": len(files)})

    def _quarantine(self, path: Path, evidence: Path) -> None:
        shutil.copy2(path, evidence / path.name)
        log.error("oms.snapshot_damaged", extra={"file": str(path), "kept": str(evidence)})

    async def save(self) -> Snapshot:
        """Write a snapshot and drop the journal it covers. Raises :class:`DurabilityLost`.

        Without new records since the last one, nothing is written.
        """
        async with self._save_lock:
            current = self._file.current
            if current is not None and self._journal.seq == self._saved_seq:
                return current
            older = await self._journal.rotate()
            seq = self._journal.seq
            payload = {"venue": self.venue, "seq": seq, "state": self.state.to_json()}
            snapshot = await asyncio.to_thread(self._file.save, payload)
            self._saved_seq = seq
            # What the generation before covered; ``.prev`` needs everything since.
            for path in self._droppable:
                self._step("journal.drop")
                path.unlink(missing_ok=True)
            self._droppable = older
            return snapshot

    @property
    def lost(self) -> bool:
        """Whether a write failed: the book can't be changed any more, while the venue's orders
        do."""
        return self._journal.failed

    @property
    def save_due(self) -> bool:
        return self._journal.seq - self._saved_seq >= RECORDS_PER_SNAPSHOT

    @property
    def snapshot(self) -> Snapshot | None:
        return self._file.current

    def close(self) -> None:
        self._journal.close()

    # -- orders ----------------------------------------------------------------------------

    def queue(self, client_id: str, order: Order) -> OrderRecord:
        """Reserve risk for ``order``; nothing is sent yet."""
        self._write(
            t="queued",
            id=client_id,
            order=order_to_json(order),
            owner=self.owner,
            epoch=self.epoch,
            ts=self._clock(),
        )
        return self.state.orders[client_id]

    async def intend(self, client_id: str) -> None:
        """Put the intent on disk. Only after this may the request leave."""
        order = self.state.orders[client_id].order
        self._write(
            t="intent",
            id=client_id,
            hash=order.body_hash(),
            algo=order.algo,
            owner=self.owner,
            epoch=self.epoch,
            ts=self._clock(),
        )
        self._step("intent.fsync")
        await self._journal.sync()
        self._step("intent.durable")

    def acknowledged(self, answer: VenueOrder) -> None:
        """The venue has the order; ``answer`` may already be closed or filled."""
        if answer.status.terminal:
            self.closed(answer)
        else:
            self._status(answer.client_id, OrderStatus.OPEN, "", answer.venue_id)

    def closed(self, answer: VenueOrder, reason: str = "") -> None:
        """The venue closed the order; it closes here once its fills are booked."""
        known = self.state.orders.get(answer.client_id)
        final = (answer.status, answer.filled)
        if known is None or known.status.terminal or known.final == final:
            return
        self._write(
            t="closing",
            id=answer.client_id,
            status=str(answer.status),
            filled=str(answer.filled),
            reason=reason,
        )

    def rejected(self, client_id: str, reason: str) -> None:
        self._status(client_id, OrderStatus.REJECTED, reason)

    def unknown(self, client_id: str, reason: str) -> None:
        """No answer: the order may be live. Its risk stays reserved until its fate is proven."""
        self._status(client_id, OrderStatus.UNKNOWN, reason)

    def expired(self, client_id: str, reason: str) -> None:
        """Never sent, or proven never accepted."""
        self._status(client_id, OrderStatus.EXPIRED, reason)

    def reopened(self, client_id: str, reason: str) -> None:
        """Closed in the book, but open at the venue."""
        self._write(t="reopen", id=client_id, reason=reason)

    def close_as(self, client_id: str, status: OrderStatus, reason: str) -> None:
        """Close although fills are missing: the venue's trade list was read to its end."""
        self._status(client_id, status, reason)

    def adopt(self, order: VenueOrder, *, filled: Decimal) -> None:
        """Take over an order of ours that only the venue has; ``filled`` is already booked of
        it."""
        self._write(
            t="adopt",
            id=order.client_id,
            order=order_to_json(order.order),
            venue_id=order.venue_id,
            filled=str(filled),
            owner=self.owner,
            ts=self._clock(),
        )

    # -- fills and positions ---------------------------------------------------------------

    def book(self, trades: tuple[Trade, ...], cursor: str) -> int:
        """Book new trades, each once, then move the cursor. Returns how many were new."""
        fresh = 0
        for trade in trades:
            fresh += self.book_early(trade)
        if cursor != self.state.cursor:
            self._write(t="cursor", cursor=cursor)
        return fresh

    def book_early(self, trade: Trade) -> bool:
        """Book one trade unless it was booked before; the cursor stays. Returns whether it was
        new."""
        if trade.trade_id in self.state.trades:
            return False
        self._write(t="fill", trade=trade_to_json(trade))
        self.booked += 1
        return True

    def adjust(self, symbol: str, quantity: Decimal, price: Decimal) -> None:
        """Replace our position of ``symbol`` by the venue's."""
        self._write(t="adjust", symbol=symbol, quantity=str(quantity), price=str(price))

    def start_day(self, day: str, equity: Decimal) -> None:
        """Fix the equity that the daily loss of ``day`` (YYYY-MM-DD, UTC) is measured from."""
        self._write(t="day", day=day, equity=str(equity))

    def _status(self, client_id: str, status: OrderStatus, reason: str, venue_id: str = "") -> None:
        self._write(t="status", id=client_id, status=str(status), reason=reason, venue_id=venue_id)

    def _write(self, **record: Any) -> None:
        # A status is named by its value: acknowledged and expired are different moments.
        self._step(f"{record['status'] if record['t'] == 'status' else record['t']}.append")
        seq = self._journal.append(record)
        order = self._apply(record)
        if self._recorder:
            self._recorder.recorded(self.venue, seq, record, order)

    def _apply(self, record: dict[str, Any]) -> OrderRecord | None:
        """Apply it; returns the order that it is about, even if the record dropped that from the
        book."""
        known = self.state.orders.get(record.get("id", ""))
        self.state.apply(record)
        return known or self.state.orders.get(record.get("id", ""))
