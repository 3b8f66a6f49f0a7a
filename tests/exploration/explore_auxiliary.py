"""Pods beside a runner: every order in which they, the operator, time and faults can act.

Two worlds of their own, apart from `explore`: what happens to these pods neither depends on what a
cutover does once it halts, nor on what a runner does besides drilling. In each the real `decide`
takes every step; a request is sent at any later moment, is lost with the process, or is sent twice.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, TypeVar

from tests.support.operator import cutovers as some
from tests.support.operator.runner_world import RunnerWorld, spec
from tradepulse_operator.api.checklist import CheckResult
from tradepulse_operator.api.cutover_status import CutoverPhase, ReleaseCutoverStatus
from tradepulse_operator.api.phases import facts
from tradepulse_operator.common.names import CONFIG_FILE, LABEL_DRILL, check_pod_name
from tradepulse_operator.common.time import timestamp
from tradepulse_operator.controllers.cutover.reconcile import decide as decide_cutover
from tradepulse_operator.controllers.observed.views import (
    AuxiliaryPodView,
    CutoverObserved,
    DrillPodView,
    RunnerObserved,
)
from tradepulse_operator.controllers.runner.reconcile import decide as decide_runner
from tradepulse_operator.controllers.step import Apply, Delete, Step, Wait, WriteStatus

State = TypeVar("State", bound=NamedTuple)
#: What happens by itself, what goes wrong.
WILL, MAY = "will", "may"


class Machine(Protocol[State]):
    """A world: where it begins, what can happen next, where it may stay, and what must hold."""

    def begin(self) -> State: ...
    def moves(self, state: State) -> Iterator[tuple[str, str, State]]: ...
    def rests(self, state: State) -> bool: ...
    def check(self, state: State) -> None: ...


@dataclass
class Found:
    """What was explored. `into`: the states that lead to each one by what happens by itself."""

    number: dict[Any, int] = field(default_factory=dict)
    came: list[tuple[int, str]] = field(default_factory=list)
    into: list[list[int]] = field(default_factory=list)

    def path(self, at: int) -> str:
        names = []
        while at:
            at, name = self.came[at]
            names.append(name)
        return " → ".join(reversed(names))


def explore(machine: Machine[Any]) -> Found:
    """Every state there is. Raises AssertionError with the way to one that breaks a promise, or
    from which no rest is reached by what happens by itself."""
    start = machine.begin()
    found = Found({start: 0}, [(0, "")], [[]])
    todo, rests = deque([start]), list[int]()
    while todo:
        state = todo.popleft()
        at = found.number[state]
        try:
            machine.check(state)
            todo.extend(_visit(machine, found, at, state))
        except AssertionError as error:
            raise AssertionError(f"{error}: {found.path(at)}\n{state}") from error
        if machine.rests(state):
            rests.append(at)
    _all_come_to(rests, found)
    return found


def _visit(machine: Machine[Any], found: Found, at: int, state: Any) -> Iterator[Any]:
    """The states that are new."""
    for kind, name, after in machine.moves(state):
        if after not in found.number:
            found.number[after] = len(found.came)
            found.came.append((at, name))
            found.into.append([])
            yield after
        if kind is WILL:
            found.into[found.number[after]].append(at)


def _all_come_to(rests: list[int], found: Found) -> None:
    reached, todo = set(rests), list(rests)
    while todo:
        for before in found.into[todo.pop()]:
            if before not in reached:
                reached.add(before)
                todo.append(before)
    for at in range(len(found.came)):
        assert at in reached, f"never comes to rest: {found.path(at)}"


# --- a check and a rehearsal ----------------------------------------------------------------------

POLICY: dict[str, Any] = {
    "checklist": [{"name": "config"}, {"name": "secrets"}],
    "rehearsal": {"required": True, "duration": "1m", "minOrders": 20},
}
WAIVER = {"check": "rehearsal", "by": "ada", "reason": "rehearsed by hand"}
_SAID = {"good": ("", ""), "missing": ("", "no secret"), "invalid": ("wrong", "")}
_ENDED = {"crashed", "lost"}
_NOW, _LONG_AGO = timestamp(some.NOW), timestamp(some.NOW - 3600)


class Gate(NamedTuple):
    """`status`: the cutover's, as JSON. A pod: "" none, or how it is; `*_number`: which one."""

    status: str
    check: str = ""
    check_number: int = 0
    rehearsal: str = ""
    rehearsal_number: int = 0
    waived: bool = False
    doing: tuple[Any, ...] | None = None
    #: What may yet go wrong, and what a person may yet do.
    faults: int = 1
    may_waive: bool = True

    @property
    def phase(self) -> CutoverPhase:
        return CutoverPhase(json.loads(self.status)["phase"])

    @property
    def pods(self) -> tuple[str, str]:
        return self.check, self.rehearsal


class GateWorld:
    """Preflight, until it halts; then the cutover ends in one step, and what is left goes."""

    def __init__(
        self,
        decide: Callable[[CutoverObserved], Step] = decide_cutover,
        *,
        may_waive: bool = True,
    ) -> None:
        self._decide = decide
        self._may_waive = may_waive
        self._recording = some.Samples("ok").recording()
        self._known: dict[Gate, tuple[Any, ...] | None] = {}

    def begin(self) -> Gate:
        return Gate(_text(some.status(CutoverPhase.PREFLIGHT)), may_waive=self._may_waive)

    def rests(self, state: Gate) -> bool:
        """Over, or held by what was found, with nothing left beside the runner."""
        held = _result(state) == "Fail" and not state.waived
        over = facts(state.phase).final or held
        return over and state.pods == ("", "") and state.doing is None and self._ask(state) is None

    def check(self, state: Gate) -> None:
        if state.phase is not CutoverPhase.HALTING:
            return
        found = ReleaseCutoverStatus.model_validate(json.loads(state.status))
        settled = {CheckResult.PASS, CheckResult.WAIVED}
        assert {one.name for one in found.checklist} == {"config", "secrets", "rehearsal"}
        assert {one.result for one in found.checklist} <= settled, "halted unchecked"
        assert state.waived or _result(state) == "Pass", "halted unrehearsed"

    def moves(self, state: Gate) -> Iterator[tuple[str, str, Gate]]:
        wills = [*self._operator(state), *_pods(state)]
        yield from ((WILL, name, after) for name, after in wills)
        if not wills:
            # Whatever happened just now has then happened long ago: every limit has passed.
            earlier = state.status.replace(_NOW, _LONG_AGO)
            yield WILL, "an hour passes", state._replace(status=earlier)
        if state.doing is not None:
            yield MAY, "dies", state._replace(doing=None)
        yield from ((MAY, name, after) for name, after in _faults(state))

    def _operator(self, state: Gate) -> Iterator[tuple[str, Gate]]:
        if state.phase is CutoverPhase.HALTING:
            ended = json.loads(state.status) | {"phase": "Succeeded"}
            yield "ends", state._replace(status=json.dumps(ended, sort_keys=True))
        if state.doing is not None:
            yield "sends", _sent(state)._replace(doing=None)
        elif state.phase is not CutoverPhase.HALTING:
            doing = self._ask(state)
            if doing is not None:
                _honest(state, doing)
                yield f"wants {doing[0]}", state._replace(doing=doing)

    def _ask(self, state: Gate) -> tuple[Any, ...] | None:
        key = state._replace(doing=None, faults=0, may_waive=False)
        if key not in self._known:
            self._known[key] = self._doing(state, self._decide(self._observed(state)))
        return self._known[key]

    def _doing(self, state: Gate, step: Step) -> tuple[Any, ...] | None:
        match step:
            case WriteStatus():
                new = _text(ReleaseCutoverStatus.model_validate(step.status))
                return ("status", state.status, state.waived, new)
            case Apply():
                return ("made", step.manifest["metadata"]["name"])
            case Delete():
                return ("gone", step.ref.name, step.uid)
        assert isinstance(step, Wait), step
        return None

    def _observed(self, state: Gate) -> CutoverObserved:
        waived = {"waivers": [WAIVER]} if state.waived else {}
        found = ReleaseCutoverStatus.model_validate(json.loads(state.status))
        failing = state.rehearsal == "failing"
        paper = replace(some.TRADING, orders=100, failed_orders=60 if failing else 1)
        trades = state.rehearsal in ("ready", "failing")
        return replace(
            some.seen(some.cutover(found, **POLICY, **waived)),
            pod=some.pod(some.SOURCE),
            process=some.TRADING,
            recording=self._recording,
            target_config={"kind": "ConfigMap", "data": {CONFIG_FILE: "venues: []\n"}},
            check=_check_view(state),
            rehearsal=_rehearsal_view(state),
            rehearsal_process=paper if trades else None,
        )


def _text(status: ReleaseCutoverStatus) -> str:
    return json.dumps(status.wire(), sort_keys=True)


def _result(state: Gate) -> str:
    return str((json.loads(state.status).get("rehearsal") or {}).get("result", ""))


def _check_view(state: Gate) -> AuxiliaryPodView | None:
    if not state.check:
        return None
    config, secrets = _SAID.get(state.check, ("", ""))
    return AuxiliaryPodView(
        uid=f"c{state.check_number}",
        deleting=state.check == "leaving",
        ended=state.check in (*_SAID, "lost"),
        exit_code=None if state.check == "lost" else int(bool(config or secrets)),
        message=json.dumps({"ok": not (config or secrets), "config": config, "secrets": secrets}),
        created_at=some.NOW,
        # Long enough ago to be tried again.
        ended_at=some.NOW - 100,
    )


def _rehearsal_view(state: Gate) -> AuxiliaryPodView | None:
    if not state.rehearsal:
        return None
    return AuxiliaryPodView(
        uid=f"r{state.rehearsal_number}",
        ready=state.rehearsal in ("ready", "failing"),
        deleting=state.rehearsal == "leaving",
        image_id="sha256:1",
        created_at=some.NOW,
        ended=state.rehearsal in _ENDED,
        exit_code=1 if state.rehearsal == "crashed" else None,
        message="why",
        ended_at=some.NOW,
    )


def _honest(state: Gate, doing: tuple[Any, ...]) -> None:
    """What is told as passed was seen to pass."""
    if doing[0] != "status":
        return
    before, after = json.loads(doing[1]), json.loads(doing[3])
    was, now = before.get("rehearsal") or {}, after.get("rehearsal") or {}
    if now.get("result") == "Pass" and not was.get("result"):
        assert state.rehearsal == "ready", "passed a rehearsal that doesn't trade"
        assert was.get("pod") == f"r{state.rehearsal_number}", "passed on another pod's time"


def _sent(state: Gate) -> Gate:
    assert state.doing is not None
    what, name = state.doing[0], state.doing[1]
    if what == "status":
        same = (name, state.doing[2]) == (state.status, state.waived)
        return state._replace(status=state.doing[3]) if same else state
    of_check = name == check_pod_name(some.UID)
    pod, number = ("check", "check_number") if of_check else ("rehearsal", "rehearsal_number")
    live, count = getattr(state, pod), getattr(state, number)
    if what == "made":
        made: dict[str, Any] = {pod: "new", number: 1 - count}
        return state if live else state._replace(**made)
    uid = f"{'c' if of_check else 'r'}{count}"
    gone: dict[str, Any] = {pod: "leaving"}
    return state._replace(**gone) if live and uid == state.doing[2] else state


def _pods(state: Gate) -> Iterator[tuple[str, Gate]]:
    if state.check in ("new", "leaving"):
        after = {"new": "good", "leaving": ""}[state.check]
        yield f"check {after}", state._replace(check=after)
    if state.rehearsal in ("new", "leaving"):
        after = {"new": "ready", "leaving": ""}[state.rehearsal]
        yield f"rehearsal {after}", state._replace(rehearsal=after)


def _faults(state: Gate) -> Iterator[tuple[str, Gate]]:
    if state.may_waive and state.phase is CutoverPhase.PREFLIGHT:
        yield "waived", state._replace(waived=True, may_waive=False)
    if not state.faults:
        return
    less = state._replace(faults=state.faults - 1)
    if state.doing is not None:
        yield "answer lost", _sent(less)
    if state.check == "new":
        yield from ((f"check {how}", less._replace(check=how)) for how in ("missing", "invalid"))
    if state.check:
        yield "check lost", less._replace(check="lost")
        yield "check evicted", less._replace(check="")
    if state.rehearsal in ("new", "ready"):
        yield from (
            (f"rehearsal {how}", less._replace(rehearsal=how))
            for how in ("failing", "crashed", "lost", "")
        )


# --- a drill --------------------------------------------------------------------------------------

HOUR = 3600.0


class Drill(NamedTuple):
    """`status`: the runner's, as JSON. `pod`: "" none, new, good, bad or leaving."""

    status: str
    pod: str = ""
    pod_of: str = ""
    number: int = 0
    reports: tuple[str, ...] = ()
    hours: int = 1
    doing: tuple[Any, ...] | None = None
    faults: int = 1


class DrillWorld:
    """A runner that trades, and whose drill has just come due; another one an hour later."""

    def __init__(self, decide: Callable[[RunnerObserved], Step] = decide_runner) -> None:
        self._decide = decide
        self._world = RunnerWorld(spec=spec(killSwitchDrill={"schedule": "0 * * * *"}))
        self._world.settle()
        self._steps: dict[str, Step] = {}
        self._known: dict[Drill, tuple[Any, ...] | None] = {}

    def begin(self) -> Drill:
        return Drill(json.dumps(self._world.status, sort_keys=True))

    def rests(self, state: Drill) -> bool:
        """The second drill is recorded, too, and nothing of it is left."""
        status = json.loads(state.status)
        done = state.hours == 2 and not (status.get("drill") or {}).get("running")
        quiet = not state.pod and state.doing is None and self._ask(state) is None
        return done and quiet and len(state.reports) == 2

    def check(self, state: Drill) -> None:
        status = json.loads(state.status)
        assert len(state.reports) <= state.hours, "a drill that wasn't due"
        last = (status.get("lastDrill") or {}).get("report")
        assert last is None or last in state.reports, "recorded before its report was filed"

    def moves(self, state: Drill) -> Iterator[tuple[str, str, Drill]]:
        wills = [*self._operator(state), *_drill_pod(state)]
        yield from ((WILL, name, after) for name, after in wills)
        if not wills and state.hours < 2:
            yield WILL, "an hour passes", state._replace(hours=2)
        if state.doing is not None:
            yield MAY, "dies", state._replace(doing=None)
        if not state.faults:
            return
        less = state._replace(faults=state.faults - 1)
        if state.doing is not None:
            yield MAY, "answer lost", self._sent(less)
        if state.pod == "new":
            yield MAY, "drill fails", less._replace(pod="bad")
        if state.pod:
            yield MAY, "pod lost", less._replace(pod="", pod_of="")

    def _operator(self, state: Drill) -> Iterator[tuple[str, Drill]]:
        if state.doing is not None:
            yield "sends", self._sent(state)._replace(doing=None)
            return
        doing = self._ask(state)
        if doing is not None:
            yield f"wants {doing[0]}", state._replace(doing=doing)

    def _ask(self, state: Drill) -> tuple[Any, ...] | None:
        key = state._replace(doing=None, faults=0)
        if key not in self._known:
            self._known[key] = self._doing(state, self._decide(self._observed(state)))
        return self._known[key]

    def _doing(self, state: Drill, step: Step) -> tuple[Any, ...] | None:
        match step:
            case WriteStatus():
                return ("status", state.status, json.dumps(step.status, sort_keys=True))
            case Apply():
                return (step.manifest["kind"], step.manifest["metadata"]["name"])
            case Delete():
                assert step.ref.kind == "Pod", step
                return ("gone", step.ref.name, step.uid)
        assert isinstance(step, Wait), step
        return None

    def _sent(self, state: Drill) -> Drill:
        assert state.doing is not None
        match state.doing:
            case ("status", base, new):
                self._recorded_once(base, new)
                return state._replace(status=new) if base == state.status else state
            case ("Pod", name):
                if state.pod:
                    assert state.pod_of == name, "two drills at once"
                    return state
                return state._replace(pod="new", pod_of=name, number=(state.number + 1) % 3)
            case ("ConfigMap", name):
                return state._replace(reports=tuple(sorted({*state.reports, name})))
            case ("gone", name, uid):
                mine = state.pod_of == name and uid == f"d{state.number}"
                return state._replace(pod="leaving") if state.pod and mine else state
        raise AssertionError(state.doing)

    def _recorded_once(self, base: str, new: str) -> None:
        was, now = (json.loads(text).get("lastDrill") or {} for text in (base, new))
        if was.get("scheduledFor") == now.get("scheduledFor"):
            assert was.get("result") == now.get("result"), "a drill that is judged again"

    def _observed(self, state: Drill) -> RunnerObserved:
        world = self._world
        world.status = json.loads(state.status)
        seen = world.observe()
        pods = []
        if state.pod:
            code = {"good": 0, "bad": 1}.get(state.pod)
            pod = DrillPodView(
                name=state.pod_of,
                uid=f"d{state.number}",
                phase={0: "Succeeded", 1: "Failed"}.get(code if code is not None else 2, "Running"),
                deleting=state.pod == "leaving",
                exit_code=code,
                message=json.dumps(
                    {"passed": code == 0, "checks": [["it stops", code == 0]], "measures": {}}
                ),
            )
            pods = [pod]
        reports = {world.ref("ConfigMap", name): _report(name) for name in state.reports}
        return replace(
            seen,
            now=world.now + HOUR * state.hours,
            drills=tuple(pods),
            children={**seen.children, **reports},
        )


def _report(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": name, "labels": {LABEL_DRILL: name[-12:]}}}


def _drill_pod(state: Drill) -> Iterator[tuple[str, Drill]]:
    if state.pod == "new":
        yield "drill passes", state._replace(pod="good")
    if state.pod == "leaving":
        yield "pod gone", state._replace(pod="", pod_of="")
