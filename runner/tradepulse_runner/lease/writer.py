"""The writer lease of this process: acquired, renewed, released (see ``lease.decisions``).

The holder trades; a process that waits for it is alive and not ready; one that loses it ends at
once and cancels nothing, because the orders belong to the next holder.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol

from tradepulse_runner.errors import RunnerError
from tradepulse_runner.lease.decisions import Action, Candidate, Record, Times

log = logging.getLogger(__name__)
Manifest = dict[str, Any]


class LeaseLost(RunnerError):
    """Another process may write now. The process ends; its successor waits for the lease."""

    exit_code: ClassVar[int] = 75  # EX_TEMPFAIL of sysexits.h: try again


class LeaseUnavailable(RunnerError):
    """The Lease could not be read or written; whether a write was stored is not known."""


class LeaseConflict(RunnerError):
    """The Lease is not as it was read: another process wrote first, or it was deleted."""


class LeaseStore(Protocol):
    """Where the Lease is kept. Raises :class:`LeaseUnavailable`."""

    async def read(self) -> Manifest | None:
        """The Lease as it is; None when there is none."""

    async def replace(self, lease: Manifest) -> Manifest:
        """Store it unless its resourceVersion is old (:class:`LeaseConflict`); as stored."""

    async def close(self) -> None:
        """Close the connections."""


def boot_time() -> float:
    """Seconds since boot, suspended time included; the clock can't be set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class WriterLease:
    """One process's side of the Lease. All methods belong to one event loop.

    ``identity``: differs between any two processes that could run at once (the pod's uid; within a
    pod, the state directory is locked).
    """

    def __init__(
        self,
        store: LeaseStore,
        identity: str,
        times: Times,
        *,
        clock: Callable[[], float] = boot_time,
    ) -> None:
        self._store = store
        self._candidate = Candidate(identity, known_epoch=0, times=times)
        self._clock = clock
        self._lease: Manifest | None = None
        self._listener: Callable[[Candidate], None] | None = None

    @property
    def held(self) -> bool:
        """Whether this process took it and has neither lost it nor given it back."""
        return bool(self._candidate.epoch)

    @property
    def clock(self) -> Callable[[], float]:
        """The clock of the times in :class:`Candidate`; seconds."""
        return self._clock

    def follow(self, listener: Callable[[Candidate], None]) -> None:
        """Call ``listener`` with the lease as this process sees it, now and at each change."""
        self._listener = listener
        listener(self._candidate)

    def _update(self, me: Candidate) -> None:
        self._candidate = me
        if self._listener is not None:
            self._listener(me)

    def refusal(self) -> str:
        """Why nothing may be sent at this moment; "" while it may."""
        return self._candidate.refusal(self._clock())

    async def acquire(self, known_epoch: int, fence: float) -> int:
        """Return the epoch to write under once orders may be sent, however long that takes.

        ``known_epoch``: the highest that the state directory has seen. ``fence``: how long after
        sending a request may still arrive at any of the venues. Raises :class:`LeaseLost` when the
        lease is lost again while the last requests of the writer before run out.
        """
        self._update(replace(self._candidate, known_epoch=known_epoch, fence=fence))
        while True:
            if await self._try_to_take():
                break
            await asyncio.sleep(self._candidate.times.retry)
        log.info("writer_lease.taken", extra={"epoch": self._candidate.epoch})
        while (left := self._candidate.quiet_until - self._clock()) > 0:
            await self._wait_and_renew(left)
        return self._candidate.epoch

    async def keep(self) -> None:
        """Renew for ever. Raises :class:`LeaseLost`, at the latest when it runs out."""
        while True:
            await self._wait_and_renew(self._candidate.times.retry)

    async def release(self) -> None:
        """Release it, so that a successor starts at once; best effort. Only after the last request:
        the successor relies on that."""
        if not self.held:
            return
        self._update(self._candidate.released())
        try:
            try:
                await self._release()
            except LeaseConflict:
                # A renewal that was cut short by the shutdown, and stored all the same.
                await self._read()
                await self._release()
        except (LeaseUnavailable, LeaseConflict) as error:
            log.warning("writer_lease.not_released", extra={"why": str(error)})
        else:
            log.info("writer_lease.released")

    async def close(self) -> None:
        """Close the store's connections."""
        await self._store.close()

    # -- taking ----------------------------------------------------------------------------

    async def _try_to_take(self) -> bool:
        before = self._candidate.seen
        try:
            await self._read()
            if self._candidate.action(self._clock()) is Action.TAKE:
                await self._take()
        except LeaseConflict:
            log.info("writer_lease.somebody_was_faster")
        except LeaseUnavailable as error:
            log.warning("writer_lease.unavailable", extra={"why": str(error)})
        if not self.held and _holder(self._candidate.seen) != _holder(before):
            log.warning("writer_lease.waiting", extra={"why": self.refusal()})
        return self.held

    async def _read(self) -> None:
        record = await self._store.read()
        self._lease = record
        self._update(self._candidate.observed(record_of(record) if record else None, self._clock()))

    async def _take(self) -> None:
        sent = self._clock()
        stored = await self._write(self._candidate.next_epoch, taking=True)
        self._update(self._candidate.taken(record_of(stored), sent, self._clock()))

    # -- keeping ---------------------------------------------------------------------------

    async def _wait_and_renew(self, pause: float) -> None:
        """Wait, then renew once."""
        await asyncio.sleep(min(pause, self._candidate.times.retry))
        left = self._candidate.valid_until - self._clock()
        try:
            async with asyncio.timeout(max(0.0, left)):
                await self._renew()
        except TimeoutError:
            log.warning("writer_lease.no_answer")
        except LeaseUnavailable as error:
            log.warning("writer_lease.not_renewed", extra={"why": str(error)})
        if self._candidate.action(self._clock()) is Action.LOST:
            self._lose()

    async def _renew(self) -> None:
        sent = self._clock()
        try:
            stored = await self._write(self._candidate.epoch, taking=False)
        except LeaseConflict:
            # A renewal whose answer got lost, a change of its metadata, or another holder.
            await self._read()
            return
        self._update(self._candidate.renewed(record_of(stored), sent, self._clock()))

    def _lose(self) -> None:
        holder = _holder(self._candidate.seen)
        if holder == self._candidate.identity:
            why = "the writer lease was not renewed in time"
        else:
            why = f"the writer lease was taken by {holder}" if holder else "the lease is gone"
        self._update(self._candidate.released())
        log.critical("writer_lease.lost", extra={"why": why})
        raise LeaseLost(
            f"{why}: another process may write now; nothing was cancelled, the orders are the next"
            " holder's; remedy: none needed, a restarted process waits for its turn"
        )

    # -- writing ---------------------------------------------------------------------------

    async def _write(self, epoch: int, *, taking: bool) -> Manifest:
        lease = self._lease
        if lease is None:
            raise LeaseConflict("the Lease is gone")
        now = _now()
        spec = {
            **(lease.get("spec") or {}),
            "holderIdentity": self._candidate.identity,
            "leaseDurationSeconds": math.ceil(self._candidate.times.duration),
            "renewTime": now,
            # Not a count of changes but the epoch itself, which a lost volume so can't reset.
            "leaseTransitions": epoch,
        }
        if taking:
            spec["acquireTime"] = now
        self._lease = await self._store.replace({**lease, "spec": spec})
        return self._lease

    async def _release(self) -> None:
        lease = self._lease
        if lease is None or record_of(lease).holder != self._candidate.identity:
            raise LeaseConflict("somebody else holds it")
        spec = {**lease["spec"], "holderIdentity": "", "renewTime": _now()}
        await self._store.replace({**lease, "spec": spec})


def record_of(lease: Manifest) -> Record:
    """What a ``coordination.k8s.io/v1`` Lease says; absent fields as their zero."""
    spec, meta = lease.get("spec") or {}, lease["metadata"]
    return Record(
        holder=str(spec.get("holderIdentity") or ""),
        epoch=int(spec.get("leaseTransitions") or 0),
        duration=float(spec.get("leaseDurationSeconds") or 0),
        renewed=str(spec.get("renewTime") or ""),
        version=f"{meta.get('uid')}/{meta.get('resourceVersion')}",
    )


def _holder(record: Record | None) -> str:
    return record.holder if record else ""


def _now() -> str:
    """For people only: no decision compares wall clocks."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
