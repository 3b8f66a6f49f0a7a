"""Every order in which cutover, runner, cluster, time and faults can act, one after another.

Breadth first over `ExplorationState`. A reconciler decides on what it sees and sends its request
at any later moment, so every request can be stale; it can be lost with the process, or sent twice.
The one thing that a request can't outlive is time: it is given up long before a limit or a window
has passed.

In every state the invariants are checked, and in the whole graph that a cutover comes to an end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.exploration.explore_real import Doing, Real, rendered_once
from tests.exploration.explore_state import (
    EVIDENCE,
    FINAL,
    JUDGED,
    Cut,
    ExplorationState,
    Pod,
    faults,
    obedient,
    time,
)
from tradepulse_operator.api.cutover_status import CutoverPhase
from tradepulse_operator.common.names import ANNOTATION_KILL_SWITCH, ANNOTATION_TRADING

_BACK = {"RollingBack", "Verifying", "RolledBack", "Halted"}
_FORWARD = {"BackingUp", "Switching", "Baking"}
_BEFORE = {"", "Pending", "Preflight", "AwaitingApproval"}
_UNTOUCHED = {*_BEFORE, "Halting", "Failed"}
#: Kinds of edges.
SYSTEM, OBEDIENT, TIME, FAULT = "system", "obedient", "time", "fault"


class Violation(AssertionError):
    """An invariant doesn't hold; the text says which, and the way to the state."""


@dataclass(frozen=True)
class Edge:
    """One thing that happens. `evidence`: what the samples said, where that was looked at."""

    kind: str
    name: str
    to: ExplorationState
    evidence: str = ""


@dataclass
class Graph:
    """What was found. `edges`: per state (kind, evidence, number of the next state)."""

    numbers: dict[ExplorationState, int] = field(default_factory=dict)
    worlds: list[ExplorationState] = field(default_factory=list)
    edges: list[list[tuple[str, str, int]]] = field(default_factory=list)
    came: list[tuple[int, str]] = field(default_factory=list)

    @property
    def transitions(self) -> int:
        return sum(len(found) for found in self.edges)

    def path(self, number: int) -> str:
        """How the state was reached, one happening a line."""
        steps = []
        while number:
            number, name = self.came[number]
            steps.append(f"{name:<24} {_told(self.worlds[number])}")
        return "\n".join(reversed(steps))


def _told(world: ExplorationState) -> str:
    pod = world.pod
    where = f"{pod.release} {pod.state}{' leaving' * pod.deleting} {pod.halt[-8:]}" if pod else "-"
    doing = [d and d[0] for d in (world.doing_cutover, world.doing_runner)]
    cut = world.cut
    return f"[{cut.phase} {cut.step} {cut.reason}] pod: {where}; {world.template[1:6]} {doing}"


def explore(real: Real, start: ExplorationState) -> Graph:
    """Every state that can be reached from `start`. Raises Violation."""
    with rendered_once():
        return _explore(real, start)


def _explore(real: Real, start: ExplorationState) -> Graph:
    restores = real.policy.get("rollback", {}).get("state", "Restore") == "Restore"
    graph = Graph({start: 0}, [start], [], [(0, "")])
    todo = deque([0])
    while todo:
        number = todo.popleft()
        world, out = graph.worlds[number], []
        try:
            check(world, restores=restores)
            for edge in edges(real, world):
                found = graph.numbers.get(edge.to)
                if found is None:
                    found = graph.numbers[edge.to] = len(graph.worlds)
                    graph.worlds.append(edge.to)
                    graph.came.append((number, edge.name))
                    todo.append(found)
                out.append((edge.kind, edge.evidence, found))
        except AssertionError as error:
            raise Violation(f"{error}\n{graph.path(number)}\nin {_told(world)}") from error
        graph.edges.append(out)
    return graph


def edges(real: Real, world: ExplorationState) -> Iterator[Edge]:
    """Everything that can happen next."""
    yield from _cutover(real, world)
    yield from _runner(real, world)
    yield from (Edge(OBEDIENT, name, to) for name, to in obedient(world))
    yield from (Edge(TIME, name, to) for name, to in time(world))
    yield from (Edge(FAULT, name, to) for name, to in faults(world))


def _cutover(real: Real, world: ExplorationState) -> Iterator[Edge]:
    doing = world.doing_cutover
    if doing is None:
        asked = EVIDENCE if world.cut.phase in JUDGED else ("",)
        for evidence in asked:
            # A whole window without a doubt takes longer than any request.
            whole = evidence == "ok" or (evidence, world.cut.phase) == ("none", "Verifying")
            quick = not whole or world.doing_runner is None
            wants = {
                streams: real.ask_cutover(world, evidence, streams) for streams in real.told(world)
            }
            check_streams(world, wants)
            for found in dict.fromkeys(wants.values()):
                if found is not None and quick:
                    check_decision(real, world, evidence, found)
                    to = world._replace(doing_cutover=found)
                    yield Edge(SYSTEM, f"cutover: {found[0]} {evidence}", to, evidence)
        return
    done = _sent_cutover(world, doing)
    yield Edge(SYSTEM, "cutover sends", done._replace(doing_cutover=None))
    yield Edge(FAULT, "cutover crashes", world._replace(doing_cutover=None))
    if world.faults:
        yield Edge(FAULT, "answer lost", done._replace(faults=world.faults - 1))


def _sent_cutover(world: ExplorationState, doing: tuple[object, ...]) -> ExplorationState:
    if doing[0] == "report":
        stage = doing[1]
        assert isinstance(stage, int)
        return world._replace(filed=max(world.filed, stage), lasts=False)
    if doing[0] == "check made":
        return world._replace(check=world.check or "new")
    if doing[0] == "check gone":
        return world._replace(check="leaving")
    if doing[0] == "void":
        return world
    _, base, asked, new = doing
    if (base, asked) != (world.cut, world.asked):
        return world  # 409: someone else wrote first.
    old, found = world.cut, world._replace(cut=new)  # type: ignore[arg-type]
    check_persisted(world, found)
    moved = (old.phase, old.step) != (found.cut.phase, found.cut.step)
    resumed = old.paused and not found.cut.paused
    if found.final:
        return found._replace(lasts=False, late=False, overdue=False)
    if moved or resumed:
        found = found._replace(late=False, lasts=False)
    return found._replace(overdue=found.overdue and not resumed)


def _runner(real: Real, world: ExplorationState) -> Iterator[Edge]:
    doing = world.doing_runner
    if doing is None:
        found = real.ask_runner(world)
        if found is not None:
            yield Edge(SYSTEM, f"runner: {found[0]}", world._replace(doing_runner=found))
        return
    done = _sent_runner(world, doing)
    yield Edge(SYSTEM, "runner sends", done._replace(doing_runner=None))
    yield Edge(FAULT, "runner crashes", world._replace(doing_runner=None))
    if world.faults:
        yield Edge(FAULT, "answer lost", done._replace(faults=world.faults - 1))


def _sent_runner(world: ExplorationState, doing: tuple[object, ...]) -> ExplorationState:
    pod = world.pod
    if doing[0] == "status":
        return world._replace(run=doing[2]) if doing[1] == world.run else world  # type: ignore[arg-type]
    if doing[0] == "replace" and doing[2] is not world.template:
        return world  # 409: a PUT carries the version that it was made from.
    if doing[0] in ("apply", "replace"):
        found = doing[1]
        check_template(world, found)
        return world._replace(template=found)  # type: ignore[arg-type]
    if doing[0] == "delete" and pod is not None:
        check_delete(world)
        return world._replace(pod=pod._replace(deleting=True))
    if doing[0] == "annotate" and pod is not None:
        orders = dict(doing[1])  # type: ignore[call-overload]
        halt = orders.get(ANNOTATION_TRADING, pod.halt)
        check_annotate(world, halt)
        kill = bool(orders.get(ANNOTATION_KILL_SWITCH, pod.kill))
        return world._replace(pod=pod._replace(halt=halt or "", kill=kill))
    return world


# --- what must hold -------------------------------------------------------------------------------


def check(world: ExplorationState, *, restores: bool) -> None:
    """Invariants of every state."""
    pod, cut = world.pod, world.cut
    if pod and pod.release == "T" and pod.runs:
        assert world.backup, "the new release runs before the backup exists"
    assert world.restored <= 1, "the state was restored twice"
    assert world.backup or not world.restored, "restored without a backup"
    if pod and pod.release == "S" and pod.runs and restores:
        assert not world.dirty, "the previous release runs on the state of the new one"
    if cut.phase in ("RolledBack", "Succeeded") and world.doing_cutover:
        assert world.doing_cutover[0] in ("report", "status"), "a final phase acts"
    if cut.reason in ("ErrorRateAboveLimit", "RunnerSilent"):
        assert cut.verdict in ("breach", "gap"), "a rollback without its verdict on record"


def check_decision(real: Real, world: ExplorationState, evidence: str, doing: Doing) -> None:
    """Invariants of what the cutover wants, given what the samples say."""
    if doing is None or doing[0] != "status":
        return
    old, new = world.cut, doing[3]
    phase = new.phase  # type: ignore[attr-defined]
    if phase in ("Succeeded", "RolledBack") and phase != old.phase:
        # A quiet market is enough for the release that was good before, never for the new one.
        enough = {"ok", "none"} if phase == "RolledBack" else {"ok"}
        assert evidence in enough, f"{phase} without evidence: {evidence}"
    if phase == "Halting" and old.phase != "Halting":
        assert evidence not in ("gap", "blind"), "halted while the guard is blind"
        assert world.signed or "approvals" not in real.policy, "halted unsigned"
        assert old.checks == "pass" or "checklist" not in real.policy, "halted unchecked"
    if old.step == "Halting" and new.step != "Halting":  # type: ignore[attr-defined]
        assert world.late or not _sends(world.pod), "the halt was given up before its limit"
    stuck = world.pod is not None and world.pod.state in ("crashed", "no image")
    if old.phase == "Baking" and phase == "RollingBack" and not world.abort and not stuck:
        allowed = {"breach", "gap"}
        if real.policy.get("onInconclusive") == "Rollback":
            allowed |= {"blind", "none"}
        assert evidence in allowed, f"rolled back on {evidence}"


def check_streams(world: ExplorationState, wants: dict[str, Doing]) -> None:
    """Event bus and database decide nothing; what was found is in the write that ends the move."""
    apart = {_without_streams(doing) for doing in wants.values()}
    assert len(apart) == 1, f"it depends on its streams: {apart}"
    pod = world.pod
    answers = pod is not None and pod.runs and pod.state not in ("crashed", "hung")
    intact = {"same": "True", "differ": "False", "silent": "Unknown"}
    for streams, doing in wants.items():
        if doing and doing[0] == "status" and streams:
            cut = doing[3]
            assert isinstance(cut, Cut)
            ends = cut.phase in ("Succeeded", "RolledBack")
            expected = (intact[streams] if answers else "Unknown") if ends else ""
            assert cut.streams == expected, f"{cut.phase} tells {cut.streams} of {streams} streams"


def _without_streams(doing: Doing) -> Doing:
    if doing is None or doing[0] != "status":
        return doing
    assert isinstance(doing[3], Cut)
    return (*doing[:3], doing[3]._replace(streams=""))


def _sends(pod: Pod | None) -> bool:
    """Whether a process of the new release may be sending orders."""
    return pod is not None and pod.release == "T" and pod.state in ("started", "ready", "hung")


def check_persisted(before: ExplorationState, after: ExplorationState) -> None:
    """Invariants of a change of phase."""
    old, new = before.cut, after.cut
    if new.streams != old.streams:
        assert new.phase != old.phase, "a write for the streams alone"
    if new.phase not in (*_BEFORE, "Failed"):
        assert new.baseline, f"{new.phase} without a baseline"
    if old.phase in FINAL:
        assert new.phase == old.phase, f"{old.phase} was left for {new.phase}"
    if old.phase in _BACK:
        assert new.phase in _BACK, f"forward again from {old.phase}: {new.phase}"
        again = new.phase == "RollingBack" and old.phase != "RollingBack"
        order = ["", "Halting", "CollectingEvidence", "Stopping", "Starting"]
        back = new.step and order.index(new.step) < order.index(old.step)
        assert not again, "a rollback of a rollback"
        assert not back, "a rollback that begins anew"
    if new.phase == "Switching" and old.phase != new.phase:
        assert before.backup, "switched without a backup"
        assert new.backup, "switched without a record of the backup"


def check_template(world: ExplorationState, new: object) -> None:
    """Invariants of a new template."""
    release, restore = new.release, new.restore  # type: ignore[attr-defined]
    pod, stops = world.pod, new.replicas == 0  # type: ignore[attr-defined]
    if stops and release == "S" and pod and pod.release == "T" and world.cut.phase in _BACK:
        assert world.filed or world.cut.gave_up, "the evidence is gone with the pod"
    if release == "T":
        assert world.cut.phase not in _UNTOUCHED, "the new release is prepared before its time"
    if restore:
        assert world.cut.phase in _BACK, "a restore before the rollback was persisted"


def check_delete(world: ExplorationState) -> None:
    """Invariants of stopping a pod."""
    pod, cut = world.pod, world.cut
    assert pod is not None
    if pod.release == "S" and cut.phase in _UNTOUCHED:
        assert pod.state != "ready", "the previous release is stopped before its time"
    if pod.release == "T" and cut.phase in _BACK:
        assert world.filed or cut.gave_up, "the evidence is gone with the pod"


def check_annotate(world: ExplorationState, halt: str | None) -> None:
    """Invariants of orders to a live pod."""
    pod = world.pod
    assert pod is not None
    if pod.release == "S" and world.cut.phase in _FORWARD:
        assert halt or not pod.halt, "the previous release is let go while the new one starts"
    if halt and "rollback" in halt:
        assert world.cut.phase in _BACK, "the way back began before it was persisted"


# --- what must happen -----------------------------------------------------------------------------


def stuck(graph: Graph) -> list[int]:
    """States from which no end can be reached."""
    into: list[list[int]] = [[] for _ in graph.worlds]
    for number, out in enumerate(graph.edges):
        for _, _, to in out:
            into[to].append(number)
    good = [n for n, world in enumerate(graph.worlds) if world.final and not world.check]
    reached = set(good)
    while good:
        for before in into[good.pop()]:
            if before not in reached:
                reached.add(before)
                good.append(before)
    return [number for number in range(len(graph.worlds)) if number not in reached]


def endless(graph: Graph, evidence: str) -> list[int]:
    """States that an obedient world never leaves for an end, when samples always say `evidence`.

    Time passes only when nothing else can happen. What is left must have no cycle (two reconcilers
    that undo each other's work), and may stop only at an end.
    """
    # A runner that stays suspended pauses its cutover for as long.
    free = [n for n, world in enumerate(graph.worlds) if not world.suspend]
    out = {n: _fair(graph, n, evidence) for n in free}
    # Where a person doesn't sign, waiting for ever is right.
    rests = {n for n in free if graph.worlds[n].final and not graph.worlds[n].check}
    rests |= {n for n in free if graph.worlds[n].unsigned and not graph.worlds[n].check}
    dead = [n for n, to in out.items() if not to and n not in rests]
    waits = dict.fromkeys(free, 0)
    for to in out.values():
        for n in to:
            waits[n] += 1
    todo = [n for n, count in waits.items() if not count]
    done = 0
    while todo:
        done += 1
        for after in out[todo.pop()]:
            waits[after] -= 1
            if not waits[after]:
                todo.append(after)
    cycles = [n for n, count in waits.items() if count]
    return dead + cycles if done < len(free) or dead else []


def _fair(graph: Graph, number: int, evidence: str) -> list[int]:
    # The source is known to be healthy: Preflight waits for as long as it isn't.
    before = graph.worlds[number].cut.phase in ("Preflight", "AwaitingApproval")
    said = "ok" if before else evidence
    moves = [
        to
        for kind, seen, to in graph.edges[number]
        if kind in (SYSTEM, OBEDIENT) and seen in ("", said)
    ]
    if moves or graph.worlds[number].final:
        return moves
    return [to for kind, _, to in graph.edges[number] if kind == TIME]


def ends(graph: Graph) -> dict[str, int]:
    """How many states have ended in which phase."""
    found: dict[str, int] = {}
    for world in graph.worlds:
        if world.final:
            phase = CutoverPhase(world.cut.phase).value
            found[phase] = found.get(phase, 0) + 1
    return found
