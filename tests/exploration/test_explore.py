"""The exploration finds nothing in the real reconcilers, and finds each of a few deliberate bugs.

`EXPLORE=deep` explores more wishes and faults at once: minutes, not seconds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.exploration.explore import Graph, Violation, endless, ends, explore, stuck
from tests.exploration.explore_real import Real
from tradepulse_operator.api.cutover_status import RollbackStep
from tradepulse_operator.common.names import ANNOTATION_TRADING
from tradepulse_operator.controllers.cutover import reconcile as dispatch
from tradepulse_operator.controllers.cutover.phases import (
    backing_up,
    baking,
    preflight,
    rolling_back,
    source,
    switching,
    target,
    verifying,
)
from tradepulse_operator.controllers.observed.views import CutoverObserved, RunnerObserved
from tradepulse_operator.controllers.runner import context
from tradepulse_operator.controllers.runner.children import pod_ref
from tradepulse_operator.controllers.runner.context import build_context
from tradepulse_operator.controllers.runner.desired_run import desired_run
from tradepulse_operator.controllers.runner.reconcile import decide as decide_runner
from tradepulse_operator.controllers.step import Annotate, Delete, Step, Wait
from tradepulse_operator.guard.bake import Decision, advance
from tradepulse_operator.resources.desired_run import DesiredRun

KEEP = {"rollback": {"state": "Keep"}}
FREEZE = {"rollback": {"state": "Freeze"}}
IMPATIENT = {"onInconclusive": "Rollback"}
SIGNED = {"approvals": {"required": ["risk"]}}
CHECKED = {"checklist": [{"name": "config"}, {"name": "secrets"}]}

#: policy, number of faults, what a person may ask for, whether there is an event bus
WORLDS: list[tuple[dict[str, Any], int, tuple[str, ...], bool]] = [
    ({}, 1, (), False),
    ({}, 0, ("abort",), True),
    ({}, 0, ("hangs",), False),
    (KEEP, 0, (), False),
    (FREEZE, 0, (), False),
    (IMPATIENT, 0, (), False),
    (SIGNED, 0, ("signed", "abort"), False),
    (SIGNED, 0, ("signed", "moved"), False),
    (CHECKED, 0, ("unlucky",), False),
]
_INTACT = ("True", "False", "Unknown")
DEEP: list[tuple[dict[str, Any], int, tuple[str, ...]]] = [
    ({}, 1, ("abort",)),
    ({}, 0, ("abort", "suspend")),
    (KEEP, 1, ()),
    (FREEZE, 1, ()),
    (IMPATIENT, 1, ()),
    (SIGNED, 1, ("signed",)),
    (CHECKED, 1, ("abort", "moved")),
]


def explored(
    policy: dict[str, Any], faults: int, wishes: tuple[str, ...], *, streams: bool = False
) -> Graph:
    real, begun = Real(policy, streams), time.monotonic()
    graph = explore(real, real.begin(faults, wishes))
    print(
        f"\n{policy or 'Restore, Hold'}, {faults} faults, wishes {wishes}:"
        f" {len(graph.worlds)} states, {graph.transitions} transitions,"
        f" {len(real.known)} decisions, {time.monotonic() - begun:.1f} s, ends {ends(graph)}"
    )
    return graph


def must_end(graph: Graph) -> None:
    for number in stuck(graph)[:1]:
        raise AssertionError(f"no end can be reached:\n{graph.path(number)}")
    for evidence in ("ok", "breach", "gap"):
        for number in endless(graph, evidence)[:1]:
            raise AssertionError(f"never ends on {evidence}:\n{graph.path(number)}")


@pytest.mark.parametrize(("policy", "faults", "wishes", "streams"), WORLDS)
def test_whatever_happens_it_is_safe_and_ends(
    policy: dict[str, Any], faults: int, wishes: tuple[str, ...], streams: bool
) -> None:
    graph = explored(policy, faults, wishes, streams=streams)
    must_end(graph)
    assert {"Succeeded", "Halted"} <= ends(graph).keys()
    if streams:
        found = {(world.cut.phase, world.cut.streams) for world in graph.worlds if world.final}
        told = {(end, intact) for end in ("Succeeded", "RolledBack") for intact in _INTACT}
        assert told <= found, "some word on the streams is never told"


deep = pytest.mark.skipif(os.environ.get("EXPLORE") != "deep", reason="minutes: EXPLORE=deep")


@deep
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("policy", "faults", "wishes"), DEEP)
def test_deeper(policy: dict[str, Any], faults: int, wishes: tuple[str, ...]) -> None:
    must_end(explored(policy, faults, wishes))


# --- deliberate bugs ------------------------------------------------------------------------------


def promotes_blindly(patch: pytest.MonkeyPatch) -> None:
    def eager(*args: Any) -> Any:
        return replace(advance(*args), decision=Decision.PROMOTE)

    patch.setattr(baking, "advance", eager)


def rolls_back_on_silence(patch: pytest.MonkeyPatch) -> None:
    def nervous(*args: Any) -> Any:
        found = advance(*args)
        unsure = found.verdict is not None and not found.verdict.conclusive
        return replace(found, decision=Decision.ROLLBACK) if unsure else found

    patch.setattr(baking, "advance", nervous)


def forgets_the_verdict(patch: pytest.MonkeyPatch) -> None:
    real = rolling_back.roll_back

    def silent(observed: CutoverObserved, reason: str, message: str, **changes: Any) -> Step:
        return real(observed, reason, message, **{**changes, "verdict": None})

    for phase in (backing_up, switching, baking, target):
        patch.setattr(phase, "roll_back", silent)


def forgets_the_baseline(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(preflight, "measured", lambda _: None)


def skips_the_evidence(patch: pytest.MonkeyPatch) -> None:
    def hasty(observed: CutoverObserved, rollback: Any) -> Step:
        return rolling_back._next(observed, rollback, RollbackStep.STOPPING)

    patch.setattr(rolling_back, "_collecting", hasty)


def halts_until_the_evidence(patch: pytest.MonkeyPatch) -> None:
    real = rolling_back._halting

    def content(observed: CutoverObserved, rollback: Any) -> Step:
        filed = bool(observed.report)
        step = RollbackStep.COLLECTING_EVIDENCE
        return rolling_back._next(observed, rollback, step) if filed else real(observed, rollback)

    patch.setattr(rolling_back, "_halting", content)


def rolls_a_rollback_back(patch: pytest.MonkeyPatch) -> None:
    def again(observed: CutoverObserved, reason: str, message: str, **changes: Any) -> Step:
        return rolling_back.roll_back(observed, reason, message, **changes)

    for phase in (rolling_back, verifying, source):
        patch.setattr(phase, "end_halted", again)


def leaves_a_final_phase(patch: pytest.MonkeyPatch) -> None:
    def regret(observed: CutoverObserved) -> Step:
        return rolling_back.roll_back(observed, "Regret", "after all")

    patch.setattr(dispatch, "unreported", regret)


def halts_unsigned(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(preflight, "_unsigned", lambda _: None)


def waits_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dispatch, "switching", lambda _: Wait("for ever"))


def intends(change: Callable[[DesiredRun], DesiredRun]) -> Callable[[pytest.MonkeyPatch], None]:
    def apply(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(context, "desired_run", lambda *args: change(desired_run(*args)))

    return apply


def without_backup(found: DesiredRun) -> DesiredRun:
    backs_up = found.prepare is not None and found.prepare.backup
    return replace(found, prepare=None) if backs_up else found


def without_restore(found: DesiredRun) -> DesiredRun:
    restores = found.prepare is not None and found.prepare.restore
    return replace(found, prepare=None) if restores else found


def makes_room_at_once(found: DesiredRun) -> DesiredRun:
    return replace(found, replace=True)


def runner_that(change: Callable[[RunnerObserved, Step], Step]) -> Callable[..., Step]:
    return lambda observed: change(observed, decide_runner(observed))


def lets_the_target_go(observed: RunnerObserved, step: Step) -> Step:
    """Takes back what another step of the same reconciler orders: they never come to rest."""
    view = build_context(observed)
    pod, source = view.pod, view.status.active_release
    halted = pod is not None and pod.annotations.get(ANNOTATION_TRADING)
    if (
        not isinstance(step, Annotate | Delete)
        and pod
        and halted
        and source
        and pod.release != source.id
    ):
        return Annotate(pod_ref(view), pod.uid, {ANNOTATION_TRADING: ""})
    return step


def lets_the_source_go(observed: RunnerObserved, step: Step) -> Step:
    view = build_context(observed)
    pod, source = view.pod, view.status.active_release
    forward = view.run is not None and source is not None and view.run.release.id != source.id
    halted = pod is not None and pod.annotations.get(ANNOTATION_TRADING) and not pod.deleting
    if forward and halted and pod and source and pod.release == source.id:
        return Annotate(pod_ref(view), pod.uid, {ANNOTATION_TRADING: ""})
    return step


Change = Callable[[pytest.MonkeyPatch], None]
BUGS: dict[str, tuple[Change, str]] = {
    # Needs a fault to show: a pod that is stuck without its image.
    "makes room at once": (intends(makes_room_at_once), "the evidence is gone"),
    "promotes blindly": (promotes_blindly, "Succeeded without evidence"),
    "rolls back on silence": (rolls_back_on_silence, "rolled back on"),
    "forgets the verdict": (forgets_the_verdict, "without its verdict"),
    "forgets the baseline": (forgets_the_baseline, "without a baseline"),
    "halts until the evidence": (halts_until_the_evidence, "given up before its limit"),
    "skips the evidence": (skips_the_evidence, "the evidence is gone"),
    "rolls a rollback back": (rolls_a_rollback_back, "a rollback (of a rollback|that begins anew)"),
    "leaves a final phase": (leaves_a_final_phase, "was left for"),
    "waits for ever": (waits_for_ever, "no end can be reached"),
    "no backup": (intends(without_backup), "before the backup exists"),
    "no restore": (intends(without_restore), "on the state of the new one"),
}


@pytest.mark.parametrize(("bug", "caught"), BUGS.values(), ids=BUGS)
def test_a_deliberate_bug_is_found(
    monkeypatch: pytest.MonkeyPatch, bug: Change, caught: str
) -> None:
    bug(monkeypatch)
    with pytest.raises((Violation, AssertionError), match=caught):
        must_end(explored({}, int(bug is BUGS["makes room at once"][0]), ()))


def test_a_halt_without_the_signature_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    halts_unsigned(monkeypatch)
    with pytest.raises(Violation, match="halted unsigned"):
        explored(SIGNED, 0, ("signed",))


def test_a_halt_without_the_checklist_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "open_items", lambda _: "")
    with pytest.raises(Violation, match="halted unchecked"):
        explored(CHECKED, 0, ())


def holds_up_for_streams(patch: pytest.MonkeyPatch) -> None:
    real = verifying.verifying

    def careful(observed: CutoverObserved) -> Step:
        bus = observed.process.bus if observed.process else None
        return Wait("mends the bus") if bus and bus.problem else real(observed)

    patch.setattr(dispatch, "verifying", careful)


def forgets_the_streams(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(verifying, "record_comparison", lambda observed: observed)


@pytest.mark.parametrize(
    ("bug", "caught"),
    [(holds_up_for_streams, "depends on its streams"), (forgets_the_streams, "RolledBack tells")],
)
def test_a_deliberate_bug_with_streams_is_found(
    monkeypatch: pytest.MonkeyPatch, bug: Change, caught: str
) -> None:
    bug(monkeypatch)
    with pytest.raises(Violation, match=caught):
        explored({}, 0, (), streams=True)


@deep
def test_running_ahead_of_the_stateful_set_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rollback is told done while a lost pod would come back as the failed release."""
    for phase in (rolling_back, verifying):
        monkeypatch.setattr(phase, "would_start_source", lambda _: True)
    with pytest.raises(Violation, match="on the state of the new one"):
        explored({}, 1, ())


@pytest.mark.parametrize(
    ("change", "caught"),
    [(lets_the_target_go, "never ends"), (lets_the_source_go, "is let go")],
)
def test_a_runner_that_undoes_its_own_orders_is_found(
    change: Callable[[RunnerObserved, Step], Step], caught: str
) -> None:
    real = Real({}, runner=runner_that(change))
    with pytest.raises((Violation, AssertionError), match=caught):
        must_end(explore(real, real.begin()))
