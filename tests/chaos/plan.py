"""What happens in one case: a pure function of venue, point and seed, hence repeatable."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.chaos.points import DAMAGE, FILES, LATCH, ORDERS, POINTS, STARTS

#: The moment that only comes when a venue refuses an order.
REFUSAL = "rejected.append"
#: Seconds that a clock jumps.
JUMP = 3600.0


@dataclass(frozen=True)
class Case:
    """One trial: ``point`` is a moment at which the runner is killed, or a kind of damage."""

    venue: str
    point: str
    seed: int

    @property
    def command(self) -> str:
        """How to repeat it."""
        return (
            f"python -m tests.chaos --venues {self.venue} --points '{self.point}' "
            f"--only-seed {self.seed} --keep"
        )


@dataclass(frozen=True)
class Life:
    """One process of the runner: how many decisions it takes and how it ends.

    ``crash_at``: it is killed at the ``nth`` occurrence of this point; "" for none. ``kills``: it
    is killed when its decisions are made. ``engages``: its kill switch is engaged then.
    ``jump``: seconds that its clock jumps by half-way; ``fsync_fails`` and ``disk_full`` when.
    """

    number: int
    decisions: int
    crash_at: str = ""
    nth: int = 1
    kills: bool = False
    engages: bool = False
    faulty: bool = False
    jump: float = 0.0
    ahead: float = 0.0
    fsync_fails: bool = False
    disk_full: bool = False


@dataclass(frozen=True)
class Plan:
    """The lives in their order; the last one ends cleanly. ``damage`` is done before it."""

    lives: tuple[Life, ...]
    damage: str = ""
    tmpfs: bool = False


def chance_of(case: Case, *more: object) -> random.Random:
    """A source of chance of this case's own."""
    return random.Random(":".join(map(str, (case.venue, case.point, case.seed, *more))))


def plan(case: Case) -> Plan:
    """How this case goes."""
    chance = chance_of(case)
    return _damaged(case, chance) if case.point in DAMAGE else _killed(case, chance)


def _killed(case: Case, chance: random.Random) -> Plan:
    # What a venue would refuse, the risk gate refuses before: only a busy venue refuses more.
    faulty = chance.random() < 0.5 or case.point == REFUSAL
    lives: list[Life] = []

    def life(**more: object) -> None:
        # A book that was written twice has something to rotate and to drop.
        decisions = chance.randint(6, 14) + (12 if case.point in FILES else 0)
        lives.append(Life(len(lives), decisions, faulty=faulty, **more))  # type: ignore[arg-type]

    if case.point in STARTS or chance.random() < 0.3:
        if chance.random() < 0.5:
            life(kills=True)
        else:
            life(crash_at=chance.choice(ORDERS[3:9]), nth=chance.choice((1, 2, 4)), kills=True)
    nth = _nth(case.point, chance)
    life(crash_at=case.point, nth=nth, engages=case.point in LATCH)
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        life(crash_at=chance.choice(POINTS[: -len(LATCH)]), nth=chance.choice((1, 1, 2)))
    last = Life(len(lives), chance.randint(2, 6), faulty=faulty and chance.random() < 0.7)
    return Plan((*lives, last))


def _nth(point: str, chance: random.Random) -> int:
    rare = point in LATCH or point.startswith(("epoch", "unknown", "expired", "rejected"))
    if point in FILES:
        return 1 if point in ("journal.drop", "snapshot.rotate") else chance.choice((1, 2))
    return 1 if rare else chance.choice((1, 1, 2, 3, 5))


def _damaged(case: Case, chance: random.Random) -> Plan:
    what, number = case.point, chance.randint(8, 16)
    last = Life(1, chance.randint(2, 5))
    if what == "disk full":
        return Plan((Life(0, 4 * number, disk_full=True), last), tmpfs=True)
    if what == "fsync fails":
        return Plan((Life(0, number, fsync_fails=True), last))
    if what.startswith("clock"):
        sign = 1 if what == "clock ahead" else -1
        jump = sign * JUMP
        crash = chance.choice(("", "intent.durable", "request.send", "request.answered"))
        first = Life(
            0, number, crash_at=crash, nth=4, jump=jump, kills=True, faulty=chance.random() < 0.5
        )
        return Plan((first, Life(1, last.decisions, ahead=chance.choice((0.0, jump, -jump)))))
    crash = chance.choice(("intent.durable", "request.answered", "fill.append", "cancel.answered"))
    first = Life(0, number, crash_at=crash, nth=chance.choice((2, 3, 5)), kills=True)
    return Plan((first, last), damage=what)
