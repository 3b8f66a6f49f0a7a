"""Who may write: the decisions about the runner's Lease, pure, for one process.

A Lease is limited in time, so every decision compares times of a clock. A holder may send until
``renew_deadline`` after it *sent* its last successful renewal; another process may take the Lease
once it has seen the very same record for ``duration`` since it *received* it. The renewal was sent
before it was stored, and stored before it was read, so the second span begins after the first and
outlasts it. Only spans of one's own clock are compared: clocks of two machines needn't agree, they
only have to run about equally fast.

That stops sending. A request that was sent in time may still arrive later, at most by the venue's
``fence``. So a process that takes a Lease which was not released sends nothing for that long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

#: Epochs left out where some may have been used of which no record is left.
SKIP = 1000


class Action(StrEnum):
    """What a process should do about the Lease now."""

    WAIT = "wait"
    TAKE = "take"
    RENEW = "renew"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds; ``retry`` < ``renew_deadline`` < ``duration``."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0


@dataclass(frozen=True, slots=True)
class Record:
    """The Lease's content. ``epoch`` 0: it was never held, or was deleted since.

    ``version`` and ``renewed`` are compared for equality alone.
    """

    holder: str = ""
    epoch: int = 0
    duration: float = 0.0
    renewed: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One process's view of the Lease. Times are seconds of its own clock, which also counts
    pauses.

    ``known_epoch``: the highest under which its state directory ever traded; 0: never. ``fence``:
    how long after sending a request may still arrive at a venue.
    """

    identity: str
    known_epoch: int
    times: Times = Times()
    fence: float = 0.0
    seen: Record | None = None
    seen_at: float = 0.0
    epoch: int = 0  # the one that it holds; 0: none
    valid_until: float = -math.inf
    quiet_until: float = -math.inf

    def observed(self, record: Record | None, received: float) -> Candidate:
        """After reading ``record``, whose answer came at ``received``."""
        if record == self.seen:
            return self
        return replace(self, seen=record, seen_at=received)

    def action(self, now: float) -> Action:
        """What to do at ``now``."""
        if self.epoch:
            return self._action_as_holder(now)
        record = self.seen
        if record is None:
            return Action.WAIT
        free = record.holder == self.identity or self._was_released(record)
        lapsed = now - self.seen_at >= max(self.times.duration, record.duration)
        return Action.TAKE if free or lapsed else Action.WAIT

    def _action_as_holder(self, now: float) -> Action:
        mine = self.seen is not None and self.seen.holder == self.identity
        return Action.RENEW if mine and now < self.valid_until else Action.LOST

    def _was_released(self, record: Record) -> bool:
        """An empty record that was never held may be one that was deleted while held: it counts
        as released only for a runner that has never traded."""
        return not record.holder and (record.epoch > 0 or self.known_epoch == 0)

    @property
    def next_epoch(self) -> int:
        """For taking it: above all that the Lease and the state directory have seen, because either
        of them can be lost. A deleted Lease has no record of processes that traded on another copy
        of the state: skip far ahead."""
        published = self.seen.epoch if self.seen else 0
        return max(self.known_epoch, published) + (
            SKIP if self.known_epoch and not published else 1
        )

    def taken(self, record: Record, sent: float, received: float) -> Candidate:
        """After the write that took it, sent at ``sent``, was answered with ``record``."""
        quiet = sent + self.fence if self._requests_may_arrive() else -math.inf
        return replace(
            self.observed(record, received),
            epoch=record.epoch,
            valid_until=sent + self.times.renew_deadline,
            quiet_until=quiet,
        )

    def _requests_may_arrive(self) -> bool:
        """Whether requests of the writer before may still arrive."""
        record = self.seen
        if record is None or self._was_released(record):
            return False
        # Our own earlier life: its requests are in our journal, and are resolved by proof. If it
        # never got as far as trading under that epoch, it may have been waiting out another
        # writer's requests.
        return not (record.holder == self.identity and self.known_epoch >= record.epoch)

    def renewed(self, record: Record, sent: float, received: float) -> Candidate:
        """After a renewal, sent at ``sent``, was answered with ``record``."""
        return replace(
            self.observed(record, received), valid_until=sent + self.times.renew_deadline
        )

    def released(self) -> Candidate:
        """After releasing or losing it: nothing may be sent any more."""
        return replace(self, epoch=0, valid_until=-math.inf)

    def refusal(self, now: float) -> str:
        """Why no order may be sent at ``now``; "" while one may."""
        if not self.epoch:
            holder = self.seen.holder if self.seen else ""
            return f"the writer lease is held by {holder}" if holder else "no writer lease yet"
        if now >= self.valid_until:
            return "the writer lease was not renewed in time"
        if now < self.quiet_until:
            return "requests of the writer before may still arrive at the venue"
        return ""

    def changes_at(self, now: float) -> float:
        """When the result of :meth:`refusal` changes by itself; inf: never."""
        if not self.epoch:
            return math.inf
        return min((t for t in (self.quiet_until, self.valid_until) if t > now), default=math.inf)
