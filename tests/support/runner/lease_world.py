"""A world in which two processes contend for one Lease, small enough to be explored wholly.

The API server is linear and compares versions; everything around it may be late: a request, its
answer, a process that is stopped for a while, one that is restarted with a request still on its
way. Time only passes by :func:`passed`, so every delay is an order of events.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tradepulse_runner.lease.decisions import Action, Candidate, Record, Times


@dataclass(frozen=True, slots=True)
class Flight:
    """A request on its way, or its answer. ``write`` None: it reads. ``sent``: local time."""

    sent: float
    write: Record | None = None
    based_on: str = ""
    answered: bool = False
    conflict: bool = False
    answer: Record | None = None


@dataclass(frozen=True, slots=True)
class Process:
    """One process and what outlives it: ``disk``, the epoch that it last traded under. A
    ``mortal`` one is killed and restarted at any time.

    ``arrives_until``: true time until which something that it sent may arrive at the venue.
    """

    me: Candidate
    disk: int = 0
    flight: Flight | None = None
    rate: float = 1.0
    offset: float = 0.0
    arrives_until: float = -math.inf
    mortal: bool = False

    def clock(self, now: float) -> float:
        return now * self.rate + self.offset

    def may_send(self, now: float) -> bool:
        return not self.me.refusal(self.clock(now))


@dataclass(frozen=True, slots=True)
class LeaseWorld:
    """``orphan``: a request whose sender no longer listens, but which may still be served.
    ``late``: true seconds that an order may be on its way to the venue.
    """

    processes: tuple[Process, ...]
    lease: Record | None
    orphan: Flight | None = None
    now: float = 0.0
    writes: int = 0
    deletable: bool = False
    late: float = 0.0

    def has(self, index: int, **changes: object) -> LeaseWorld:
        """With process ``index`` changed."""
        found = list(self.processes)
        found[index] = replace(found[index], **changes)  # type: ignore[arg-type]
        return replace(self, processes=tuple(found))


def world(
    times: Times,
    late: float,
    *,
    disks: tuple[int, int] = (0, 0),
    deletable: bool = False,
    mortal: int | None = None,
) -> LeaseWorld:
    """Two processes, ``a`` and ``b``, and a Lease that nobody ever held."""
    # As a connector's own: with a margin for clocks that run unevenly.
    fence = late * 1.25
    made = [Process(Candidate(n, d, times, fence), d) for n, d in zip("ab", disks, strict=True)]
    if mortal is not None:
        made[mortal] = replace(made[mortal], mortal=True)
    return LeaseWorld(tuple(made), Record(version="0"), deletable=deletable, late=late)


def checked(found: LeaseWorld) -> LeaseWorld:
    """``found``, after what may be sent now has been sent. Raises AssertionError when a second
    writer could send before the last request of the first has arrived or run out."""
    for index, process in enumerate(found.processes):
        if not process.may_send(found.now):
            continue
        for other in found.processes:
            if other is not process:
                late = other.arrives_until
                assert late < found.now, f"{process.me.identity} sends while another's may arrive"
                assert other.disk < process.me.epoch, "an epoch that another one traded under"
        found = found.has(index, arrives_until=found.now + found.late, disk=process.me.epoch)
    return found


def passed(found: LeaseWorld, seconds: float) -> LeaseWorld:
    return replace(found, now=found.now + seconds)


def successors(found: LeaseWorld) -> Iterator[LeaseWorld]:
    """Every world that one event other than time leads to."""
    for index, process in enumerate(found.processes):
        if process.flight is None:
            yield from started(found, index)
        else:
            yield from flown(found, index, process.flight)
        if process.mortal:
            yield restarted(found, index)
    if found.orphan is not None:
        yield replace(served(found, found.orphan)[0], orphan=None)
    if found.deletable:
        again = Record(version=str(found.writes + 1))
        yield replace(found, lease=again, writes=found.writes + 1)


def started(found: LeaseWorld, index: int) -> Iterator[LeaseWorld]:
    """What an idle process may begin."""
    process = found.processes[index]
    me, now = process.me, process.clock(found.now)
    # When a read was asked for matters to nobody, so it is served at once and its answer is late.
    yield found.has(index, flight=Flight(now, answered=True, answer=found.lease))
    action = me.action(now)
    if me.seen is None or action in (Action.WAIT, Action.LOST):
        return
    epoch = me.next_epoch if action is Action.TAKE else me.epoch
    mine = Record(me.identity, epoch, me.times.duration)
    yield found.has(index, flight=Flight(now, mine, me.seen.version))
    if action is Action.RENEW:
        yield from given_back(found, index)


def given_back(found: LeaseWorld, index: int) -> Iterator[LeaseWorld]:
    """A clean end: nothing is sent any more, and what was sent has arrived."""
    process = found.processes[index]
    if process.arrives_until >= found.now or process.me.seen is None:
        return
    me = process.me
    empty = Record("", me.epoch, me.times.duration)
    flight = Flight(process.clock(found.now), empty, process.me.seen.version)
    yield found.has(index, me=me.released(), flight=flight)


def flown(found: LeaseWorld, index: int, flight: Flight) -> Iterator[LeaseWorld]:
    """A request is served, its answer arrives, or its sender gives up on it."""
    if not flight.answered:
        after, answer = served(found, flight)
        yield after.has(index, flight=answer)
    else:
        yield landed(found, index, flight)
    lost = found.has(index, flight=None)
    yield replace(lost, orphan=found.orphan or _late(flight))


def served(found: LeaseWorld, flight: Flight) -> tuple[LeaseWorld, Flight]:
    """The API server's one step."""
    if flight.write is None:
        return found, replace(flight, answered=True, answer=found.lease)
    if found.lease is None or found.lease.version != flight.based_on:
        return found, replace(flight, answered=True, conflict=True)
    stored = replace(flight.write, version=str(found.writes + 1))
    after = replace(found, lease=stored, writes=found.writes + 1)
    return after, replace(flight, answered=True, answer=stored)


def landed(found: LeaseWorld, index: int, flight: Flight) -> LeaseWorld:
    """An answer reaches its process, which takes note as ``writer`` does."""
    process = found.processes[index]
    me, now = process.me, process.clock(found.now)
    if flight.conflict or (flight.write is not None and not flight.write.holder):
        return found.has(index, flight=None)
    if flight.write is None:
        return found.has(index, flight=None, me=me.observed(flight.answer, now))
    assert flight.answer is not None
    note = me.renewed if me.epoch else me.taken
    return found.has(index, flight=None, me=note(flight.answer, flight.sent, now))


def restarted(found: LeaseWorld, index: int) -> LeaseWorld:
    """Killed, and started again in the same pod on the same disk."""
    process = found.processes[index]
    me = Candidate(process.me.identity, process.disk, process.me.times, process.me.fence)
    orphan = found.orphan or (_late(process.flight) if process.flight else None)
    return replace(found.has(index, me=me, flight=None), orphan=orphan)


def _late(flight: Flight) -> Flight | None:
    """What may still be served when nobody listens: a write that wasn't yet."""
    return None if flight.answered or flight.write is None else replace(flight, sent=0.0)


def normal(found: LeaseWorld) -> LeaseWorld:
    """The same world with times counted from now and versions by age, so that worlds that differ
    in nothing else are one. Ages beyond the longest span are the same age."""
    longest = max(found.processes[0].me.times.duration, found.processes[0].me.fence)
    names = _versions(found)

    def ago(time: float) -> float:
        return max(time - found.now, -longest)

    def record(of: Record | None) -> Record | None:
        return of and replace(of, version=names[of.version])

    def flight(of: Flight | None) -> Flight | None:
        return of and replace(
            of,
            sent=ago(of.sent) if of.write else 0.0,
            based_on=names.get(of.based_on, ""),
            answer=record(of.answer),
        )

    def process(of: Process) -> Process:
        me = replace(
            of.me,
            seen=record(of.me.seen),
            seen_at=ago(of.me.seen_at) if of.me.seen and not of.me.epoch else 0.0,
            valid_until=_past(of.me.valid_until - found.now),
            quiet_until=_past(of.me.quiet_until - found.now),
        )
        return replace(
            of, me=me, flight=flight(of.flight), arrives_until=_gone(of.arrives_until - found.now)
        )

    return replace(
        found,
        processes=tuple(process(one) for one in found.processes),
        lease=record(found.lease),
        orphan=flight(found.orphan),
        now=0.0,
        writes=len(names),
    )


def _past(span: float) -> float:
    return span if span > 0 else -math.inf


def _gone(span: float) -> float:
    return span if span >= 0 else -math.inf


def _versions(found: LeaseWorld) -> dict[str, str]:
    """Every version that anyone still knows → its rank."""
    known = {found.lease.version} if found.lease else set()
    for flight in (found.orphan, *(p.flight for p in found.processes)):
        if flight is not None:
            known |= {flight.based_on} - {""}
            known |= {flight.answer.version} if flight.answer else set()
    known |= {p.me.seen.version for p in found.processes if p.me.seen}
    return {version: str(rank) for rank, version in enumerate(sorted(known, key=int))}
