"""Scheduled drills: run once when due, never at a bad moment, and survive the operator's death."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tests.support.operator.runner_world import RunnerWorld, spec
from tests.support.operator.settled import good, rests
from tradepulse_operator.common.time import instant
from tradepulse_operator.controllers.conditions import find_condition
from tradepulse_operator.controllers.drill.drill import KEPT
from tradepulse_operator.controllers.drill.live import due_observations
from tradepulse_operator.controllers.drill.schedule import coming, missed
from tradepulse_operator.controllers.events import runner_events
from tradepulse_operator.controllers.observed.views import AlertView, MetricView
from tradepulse_operator.controllers.runner.reconcile import decide
from tradepulse_operator.controllers.step import Apply, Wait
from tradepulse_operator.resources.auxiliary.drill import read

HOUR = 3600.0
GOOD = json.dumps({"passed": True, "checks": [["it stops", True]], "measures": {"ms": 1}})


def drilled(**more: Any) -> RunnerWorld:
    """A runner that trades, drilled every hour; the world begins at 08:00:00."""
    world = RunnerWorld(spec=spec(killSwitchDrill={"schedule": "0 * * * *", **more}))
    world.drilled = (0, GOOD)
    world.settle()
    return world


def later(world: RunnerWorld, seconds: float) -> None:
    world.now += seconds
    world.settle()


def pods(world: RunnerWorld) -> list[str]:
    made = [s.manifest for s in world.log if isinstance(s, Apply) and s.manifest["kind"] == "Pod"]
    return [manifest["metadata"]["name"] for manifest in made]


def reports(world: RunnerWorld) -> list[str]:
    return [ref.name for ref in world.api.objects if "-drill-" in ref.name]


def said(world: RunnerWorld) -> tuple[str, str]:
    found = find_condition(world.runner.status.conditions, "DrillCurrent")
    assert found is not None
    return found.status.value, found.reason


def test_nothing_runs_before_the_first_instant_and_the_operator_wakes_for_it() -> None:
    world = drilled()
    assert pods(world) == []
    assert said(world) == ("Unknown", "NoDrillYet")
    step = decide(world.observe())
    assert isinstance(step, Wait)
    assert step.seconds is not None
    assert world.now + step.seconds == instant(world.status["drill"]["next"])


def test_a_drill_runs_once_files_its_report_and_leaves_no_pod() -> None:
    world = drilled()
    later(world, HOUR)
    assert len(set(pods(world))) == 1
    assert reports(world) == [pods(world)[0]]
    last = world.runner.status.last_drill
    assert last is not None
    assert (last.result, last.report) == ("Passed", pods(world)[0])
    assert said(world) == ("True", "DrillPassed")
    assert [e.reason for e in runner_events(world.runner)][-1] == "DrillPassed"
    assert not any(ref.kind == "Pod" for ref in world.api.objects)
    rests_until_next(world)


def rests_until_next(world: RunnerWorld) -> None:
    writes = world.api.writes
    for _ in range(3):
        world.now += 60
        assert isinstance(decide(world.observe()), Wait)
    assert world.api.writes == writes


def test_hours_of_downtime_are_made_up_for_once() -> None:
    world = drilled()
    later(world, 7.4 * HOUR)
    assert len(set(pods(world))) == 1
    later(world, 60)
    assert len(set(pods(world))) == 1


def test_a_failed_drill_is_reported_and_keeps_when_the_last_one_passed() -> None:
    world = drilled()
    later(world, HOUR)
    first = world.runner.status.last_drill
    world.drilled = (1, json.dumps({"passed": False, "checks": [["it stops", False]]}))
    later(world, HOUR)
    last = world.runner.status.last_drill
    assert first is not None
    assert last is not None
    assert (last.result, last.passed_at) == ("Failed", first.at)
    assert said(world) == ("False", "DrillFailed")
    assert "it stops" in last.message
    assert [e.type for e in runner_events(world.runner)][-1] == "Warning"


def test_a_pod_that_never_starts_fails_the_drill() -> None:
    world = drilled()
    world.drilled = (None, "")
    later(world, HOUR)
    assert world.runner.status.last_drill is None
    later(world, 601)
    last = world.runner.status.last_drill
    assert last is not None
    assert last.result == "Failed"
    assert "did not end in time" in last.message


def test_a_passed_drill_grows_too_old() -> None:
    world = drilled(maxAge="2h")
    later(world, HOUR)
    world.change(killSwitchDrill={"schedule": "0 0 1 1 *", "maxAge": "2h"})
    world.settle()
    step = decide(world.observe())
    assert isinstance(step, Wait)
    assert step.seconds is not None
    assert step.seconds <= 2 * HOUR
    later(world, 2 * HOUR + 1)
    assert said(world) == ("False", "DrillTooOld")


@pytest.mark.parametrize("what", ["kill switch", "cutover", "suspended", "drill suspended"])
def test_no_drill_at_a_bad_moment(what: str) -> None:
    world = drilled()
    changes: dict[str, dict[str, Any]] = {
        "kill switch": {"killSwitch": {"engaged": True, "reason": "ada: test"}},
        "suspended": {"suspend": True},
        "drill suspended": {"killSwitchDrill": {"schedule": "0 * * * *", "suspend": True}},
        "cutover": {},
    }
    world.change(**changes[what])
    if what == "cutover":
        world.status["cutover"] = "held"
        world.add_cutover("held", {"runner": "demo"})
    world.look()
    world.now += 3 * HOUR
    for _ in range(5):
        world.look()
    assert pods(world) == []


def test_what_came_due_during_a_suspension_is_not_made_up_for() -> None:
    world = drilled(suspend=True)
    later(world, 3 * HOUR)
    world.change(killSwitchDrill={"schedule": "0 * * * *"})
    world.settle()
    assert pods(world) == []


def test_reports_are_kept_up_to_a_number() -> None:
    world = drilled()
    for _ in range(KEPT + 3):
        later(world, HOUR)
    assert len(reports(world)) == KEPT
    assert reports(world)[-1] == world.status["lastDrill"]["report"]


@pytest.mark.parametrize("seed", range(20))
def test_an_operator_that_dies_anywhere_runs_the_drill_once(seed: int) -> None:
    """Each request is lost, or sent twice, as when it dies before or after it."""
    world, random = drilled(), Random(seed)
    world.now += HOUR
    for _ in range(60):
        step = decide(world.observe())
        assert decide(world.observe()) == step
        if not isinstance(step, Wait):
            for _ in range(random.choice((0, 1, 2))):
                world.carry_out(step)
    assert len(set(reports(world))) == 1
    assert world.status["lastDrill"]["report"] == reports(world)[0]
    world.settle()
    good(world)


# -- live ------------------------------------------------------------------------------------------


PAGER = {"alertmanager": "http://am:9093", "receiver": "pager", "within": "1m"}


def live(**more: Any) -> RunnerWorld:
    drill = {"schedule": "0 9 * * *", "target": "Live", **more}
    world = RunnerWorld(spec=spec(killSwitchDrill=drill))
    world.settle()
    return world


def to(world: RunnerWorld, past: float) -> None:
    """To `past` seconds after the drill is due."""
    world.now = instant(world.status["drill"]["next"]) + past
    world.settle()


def test_a_live_drill_engages_the_running_process_and_waits_for_a_person() -> None:
    world = live()
    to(world, 1)
    assert "drill of" in world.latched
    last = world.runner.status.last_drill
    assert last is not None
    assert (last.result, last.target) == ("Passed", "Live")
    assert [last.report] == reports(world)
    (told,) = (found for ref, found in world.api.objects.items() if ref.name == last.report)
    assert "the running process" in told["data"]["report.md"]
    assert pods(world) == []
    # The order is off again, so that a person's reset holds; the latch stays without it.
    assert world.pod is not None
    assert not any("drill" in value for value in world.pod.annotations.values())
    assert world.status["phase"] == "Halted"
    world.latched = ""
    world.settle()
    assert world.status["phase"] == "Trading"
    rests(world)


def told(world: RunnerWorld) -> dict[str, Any]:
    last = world.runner.status.last_drill
    assert last is not None
    (found,) = (found for ref, found in world.api.objects.items() if ref.name == last.report)
    return dict(json.loads(found["data"]["report.json"]))


def test_a_live_drill_shows_process_metric_alert_and_page_one_after_another() -> None:
    world = live(alert=PAGER)
    world.open_venues = ()
    world.metric, world.alert = MetricView(), AlertView(taken=3)
    to(world, 1)
    running = world.status["drill"]["running"]
    assert running["takenBefore"] == 3
    assert {"engagedAt", "cancelledAt", "closedAt"} <= running.keys()
    assert "shownAt" not in running
    world.metric = MetricView(engaged_at=world.now)
    later(world, 2)
    # A notification before the alert is another's.
    world.alert = AlertView(taken=4)
    later(world, 2)
    assert "deliveredAt" not in world.status["drill"]["running"]
    world.alert = AlertView(receivers=("pager",), taken=4)
    later(world, 2)
    report = told(world)
    assert report["passed"]
    assert [name for name, _ in report["checks"]] == [
        "the kill switch is engaged",
        "nothing is left at the venues",
        "every connector is closed to new orders",
        "the metric of the kill switch moves",
        "the alert TradePulseKillSwitchEngaged goes to pager",
        "pager takes its notification by pagerduty",
    ]
    took = [report["measures"][f"{name}, s after the order"] for name, _ in report["checks"]]
    assert took == sorted(took)
    assert took[2] + 2 <= took[3] <= took[4] - 4
    assert report["notChecked"] == []
    assert "alert delivered" in world.status["lastDrill"]["message"]


PAGED = AlertView(receivers=("pager",), taken=4)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"open_venues": ("binance",)}, "closed to new orders: not within 60 s: open: binance"),
        ({"metric": MetricView()}, "the metric of the kill switch moves: not within 105 s"),
        ({"metric": MetricView(engaged_at=1.0)}, "the metric of the kill switch moves"),
        ({"metric": MetricView(problem="Prometheus is away")}, "Prometheus is away"),
        ({"alert": AlertView()}, "Alertmanager has no such alert"),
        ({"alert": replace(PAGED, receivers=("other",))}, "it goes to other"),
        ({"alert": replace(PAGED, silenced=True)}, "silenced or inhibited"),
        ({"alert": replace(PAGED, taken=3, refused=2)}, "2 were refused or lost so far"),
        ({"alert": AlertView(problem="Alertmanager at x can't be reached")}, "can't be reached"),
        ({"before": AlertView(problem="away")}, "did not report its deliveries before the order"),
    ],
)
def test_a_live_drill_fails_when_one_thing_is_not_shown(changes: dict[str, Any], why: str) -> None:
    world = live(alert=PAGER)
    world.open_venues, world.metric = (), MetricView(engaged_at=4e9)
    world.alert = changes.pop("before", AlertView(taken=3))
    world.now = instant(world.status["drill"]["next"]) + 1
    while world.status["drill"].get("running") is None:
        world.look()
    world.alert = PAGED
    for name, value in changes.items():
        setattr(world, name, value)
    for _ in range(12):
        later(world, 10)
    last = world.runner.status.last_drill
    assert last is not None
    assert last.result == "Failed"
    assert why in last.message
    assert not told(world)["passed"]
    assert world.status["drill"].get("running") is None


def test_what_a_restarted_alertmanager_took_counts_from_zero() -> None:
    world = live(alert=PAGER)
    world.alert = AlertView(taken=300)
    to(world, 1)
    world.alert = replace(PAGED, taken=0)
    later(world, 2)
    assert world.runner.status.last_drill is None
    world.alert = replace(PAGED, taken=1)
    later(world, 2)
    assert told(world)["passed"]


def test_what_nobody_can_tell_is_said_to_be_unchecked() -> None:
    world = live()
    to(world, 1)
    report = told(world)
    assert report["passed"]
    assert report["notChecked"] == [
        "every connector is closed to new orders: this release does not report it",
        "the metric of the kill switch moves: no Prometheus is known",
        "the alert is delivered: spec.killSwitchDrill.alert names no Alertmanager",
    ]


@pytest.mark.parametrize("seed", range(10))
def test_an_operator_that_dies_anywhere_in_a_live_drill_files_one_report(seed: int) -> None:
    world, random = live(alert=PAGER), Random(seed)
    world.alert = AlertView(taken=3)
    world.now = instant(world.status["drill"]["next"]) + 1
    for turn in range(60):
        step = decide(world.observe())
        for _ in range(0 if isinstance(step, Wait) else random.choice((0, 1, 2))):
            world.carry_out(step)
        world.tick()
        if turn == 30:
            world.alert = PAGED
    world.settle()
    assert [world.status["lastDrill"]["report"]] == reports(world)
    assert world.status["lastDrill"]["result"] == "Passed"
    assert told(world)["passed"]


def test_alertmanager_is_asked_only_as_a_live_drill_comes_due_and_while_it_runs() -> None:
    world = live(alert=PAGER)
    due = instant(world.status["drill"]["next"])
    assert due_observations(world.runner, due - 1) == (False, None)
    assert due_observations(world.runner, due)[1] is not None
    world.alert = AlertView()
    to(world, 1)
    policy = world.runner.spec.kill_switch_drill
    assert policy
    assert due_observations(world.runner, world.now) == (True, policy.alert)
    rehearsal = drilled()
    assert due_observations(rehearsal.runner, rehearsal.now + HOUR) == (False, None)


def test_a_live_drill_is_not_made_up_for_at_odd_hours() -> None:
    world = live()
    to(world, 901)
    assert world.latched == ""
    assert world.runner.status.last_drill is None


# -- parts -----------------------------------------------------------------------------------------


def _said(passed: object, *checks: object, **more: Any) -> str:
    return json.dumps({"passed": passed, "checks": checks, "measures": {}, **more})


@pytest.mark.parametrize(
    ("code", "said", "passed", "words"),
    [
        (0, GOOD, True, "1 checks passed"),
        (0, _said(True, ["x", True], later=1), True, "1 checks passed"),
        (1, _said(False, ["x", False], ["y", True]), False, "failed: x"),
        (0, _said(True, ["x", False]), False, "failed: x"),
        # The exit code alone proves nothing: an image may take no notice of its arguments.
        (0, "", False, "no result: nothing"),
        (0, "unknown command ignored", False, "no result: unknown command"),
        (0, "{}", False, "no result"),
        (0, _said(True), False, "no result"),
        (0, _said("true", ["x", True]), False, "no result"),
        (0, _said(True, ["x", "true"]), False, "no result"),
        (0, _said(True, ["x"]), False, "no result"),
        (0, json.dumps({"passed": True, "checks": [["x", True]]}), False, "no result"),
        (1, GOOD, False, "exit code 1 contradicts"),
        (0, _said(False, ["x", True]), False, "contradicts"),
        (1, _said(False, ["x", True]), False, "contradicts"),
        (1, "", False, "exit code 1, and no result"),
        (None, "OOMKilled", False, "OOMKilled"),
        (None, GOOD, False, "contradicts"),
    ],
)
def test_a_drill_passes_by_its_result_and_its_exit_code(
    code: int | None, said: str, passed: bool, words: str
) -> None:
    found = read(code, said)
    assert found["passed"] is passed
    assert words in found["message"]


def test_due_instants() -> None:
    noon = instant("2026-01-02T12:00:00Z")
    assert coming("0 * * * *", noon) == noon + HOUR
    assert missed("0 * * * *", noon - 1, noon) == noon
    assert missed("0 * * * *", noon, noon + 3599.9) is None
    assert missed("* * * * *", noon, noon + 600.5) == noon + 600
