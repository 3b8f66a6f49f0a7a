"""Alert rules: each fires when it must and not otherwise, and tells a person what to do.

The rules are tested by Prometheus' own promtool, on the series in `cases/`.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cluster.progress import Progress
from tests.support.cluster.settings import Paths
from tests.support.images import prometheus
from tests.support.manifests.described import all_series
from tests.support.operator.cutovers import (
    SOURCE,
    TRADING,
    Samples,
    cutover,
    pod,
    rollback,
    seen,
    status,
    written,
)
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.cutover_status import CutoverPhase, ReleaseCutoverStatus, VerdictKind
from tradepulse_operator.api.phases import TABLE, allowed
from tradepulse_operator.controllers.cutover.reconcile import decide
from tradepulse_operator.manager import key as keys
from tradepulse_operator.manager.metrics import Metrics
from tradepulse_operator.manager.object_metrics import CONDITIONS
from tradepulse_runner.config.runner import GuardConfig
from tradepulse_runner.live.phase import Phase
from tradepulse_runner.live.reconciliation import Drift

ROOT = Path(__file__).parents[3]
RUNBOOKS, CASES = ROOT / "docs" / "runbooks", ROOT / "tests" / "integration" / "alerting" / "cases"
RULE = yaml.safe_load((ROOT / "manifests" / "monitoring" / "prometheusrule.yaml").read_text())
RULES: list[dict[str, Any]] = [rule for group in RULE["spec"]["groups"] for rule in group["rules"]]
NAMES = [rule["alert"] for rule in RULES]
STUCK = "tradepulse_operator_cutover_phase_expected_end_timestamp_seconds"
ZERO = "1970-01-01T00:00:00.000000Z"
SECTIONS = ("What it means", "Impact", "How to look", "What to do", "How to verify")


@pytest.fixture(scope="module")
def promtool() -> Path:
    return prometheus.ensure(Paths.default(), Progress()) / prometheus.PROMTOOL


def cases(file: str = "*") -> list[dict[str, Any]]:
    files = [yaml.safe_load(path.read_text()) for path in sorted(CASES.glob(f"{file}.yaml"))]
    return [case for found in files for case in found["tests"]]


def checked(promtool: Path, *words: str | Path) -> None:
    done = subprocess.run([promtool, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_rules_and_their_templates(promtool: Path, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(RULE["spec"]))
    checked(promtool, "check", "rules", "--lint=all", "--lint-fatal", file)


@pytest.mark.parametrize("file", sorted(path.stem for path in CASES.glob("*.yaml")))
def test_each_fires_when_it_must_and_not_otherwise(
    promtool: Path, tmp_path: Path, file: str
) -> None:
    bare = [{k: v for k, v in rule.items() if k != "annotations"} for rule in RULES]
    groups = {"groups": [{"name": "all", "rules": bare}]}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(groups))
    (tmp_path / "cases.yaml").write_text((CASES / f"{file}.yaml").read_text())
    checked(promtool, "test", "rules", tmp_path / "cases.yaml")


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    told = [one for case in cases() for one in case["alert_rule_test"]]
    fires = {one["alertname"] for one in told if one["exp_alerts"]}
    silent = {one["alertname"] for one in told if not one["exp_alerts"]}
    assert fires == silent == set(NAMES)


def test_names_are_distinguished() -> None:
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alert_tells_how_bad_it_is_what_it_is_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    said = rule["annotations"]
    assert said.keys() == {"summary", "description", "runbook_url"}
    assert said["runbook_url"].endswith(f"/runbooks/{rule['alert']}.md")
    # Without the object's name it can't be acted upon; the operator itself has none.
    if rule["alert"] not in ("TradePulseOperatorLeaderless", "TradePulseOperatorBehind"):
        assert re.search(r"\$labels\.(tradepulse_io_)?runner\b", said["summary"])


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} == set(NAMES)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_a_page_answers_what_somebody_who_was_woken_asks(rule: dict[str, Any]) -> None:
    text = (RUNBOOKS / f"{rule['alert']}.md").read_text()
    assert text.startswith(f"# {rule['alert']}\n\nSeverity: {rule['labels']['severity']}\n")
    assert tuple(re.findall(r"^## (.+)$", text, re.MULTILINE)) == SECTIONS
    assert all(part.strip() for part in re.split(r"^## .+$", text, flags=re.MULTILINE)[1:])
    assert set(re.findall(r"\]\((\w+)\.md\)", text)) <= set(NAMES)


def served() -> Iterator[str]:
    """Names of all series of operator and runner, those without a sample yet too."""
    for series in all_series():
        suffixes = ("_bucket", "_count", "_sum") if series.type == "histogram" else ("",)
        yield from (series.name + end for end in suffixes)


def test_every_metric_of_a_rule_is_served_by_the_runner_or_the_operator() -> None:
    known = set(served())
    for rule in RULES:
        used = set(re.findall(r"\b(?:tradepulse|live_loop)_\w+", rule["expr"]))
        series = {name for name in used if not name.startswith("tradepulse_io_")}
        assert series <= known, rule["alert"]


#: (metric, label) → the values that it can have, for each label that a rule selects by.
VALUES: dict[tuple[str, str], set[str]] = {
    ("tradepulse_operator_runner_condition", "type"): set(CONDITIONS),
    ("tradepulse_operator_cutover_phase_started_timestamp_seconds", "phase"): set(CutoverPhase),
    (STUCK, "phase"): set(CutoverPhase),
    ("tradepulse_operator_verdicts_total", "verdict"): set(VerdictKind),
    ("tradepulse_reconciliation_drift_total", "kind"): set(Drift),
    ("tradepulse_runner_phase", "phase"): set(Phase),
    ("tradepulse_order_outcomes_total", "outcome"): {"ok", "error"},
}


def selected(text: str) -> Iterator[tuple[str, str, str]]:
    """(metric, label, value) of each selector; of a pattern each alternative."""
    for metric, labels in re.findall(r"(\w+)\{([^{}]+)\}", text):
        for label, values in re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', labels):
            yield from ((metric, label, value) for value in values.split("|") if value)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_a_rule_selects_by_values_that_there_are(rule: dict[str, Any]) -> None:
    for metric, label, value in selected(rule["expr"]):
        assert value in VALUES[metric, label], (metric, label)


def test_the_series_of_the_cases_have_values_that_there_are() -> None:
    series = [one["series"] for case in cases() for one in case["input_series"]]
    found = [each for one in series for each in selected(one) if each[:2] in VALUES]
    assert found
    assert [each for each in found if each[2] not in VALUES[each[:2]]] == []


def entered_at_zero(found: ReleaseCutoverStatus) -> ReleaseCutover:
    """A cutover with this status, all of whose times are the beginning of a test."""
    records = tuple(one.model_copy(update={"at": ZERO}) for one in found.phases)
    changes: dict[str, Any] = {"phases": records}
    if found.rollback:
        changes["rollback"] = found.rollback.model_copy(
            update={"step_at": ZERO, "started_at": ZERO}
        )
    return cutover(found.model_copy(update=changes))


def case(name: str, moving: ReleaseCutover, *expected: tuple[float, bool]) -> dict[str, Any]:
    """A case of promtool on what the operator serves of this cutover; (seconds, fires)."""
    metrics = Metrics()
    metrics.objects.cutover(keys.cutover("trading", "move"), moving)
    lines = [line for line in metrics.text().decode().splitlines() if "{" in line]
    shown = [line.rpartition(" ")[::2] for line in lines if not line.startswith("#")]
    assert any("phase_started" in series for series, _ in shown)
    labels = {"runner_namespace": "trading", "runner": "demo", "cutover": "move"}
    phase = str(moving.status.phase)
    alert = {"exp_labels": {"severity": "critical", "phase": phase, **labels}}
    return {
        "name": name,
        "interval": "15s",
        "input_series": [
            {"series": series, "values": f"{float(value):g}x160"} for series, value in shown
        ],
        "alert_rule_test": [
            {
                "alertname": "TradePulseCutoverStuck",
                "eval_time": f"{at:g}s",
                "exp_alerts": [alert] if fires else [],
            }
            for at, fires in expected
        ],
    }


def open_places() -> Iterator[dict[str, Any]]:
    for (phase, step), means in TABLE.items():
        if means.final:
            continue
        held: dict[str, Any] = {"rollback": rollback(step)} if step else {}
        moving = entered_at_zero(status(phase, **held))
        limit = means.expected_within
        if limit is None:
            yield case(f"{phase} {step}", moving, (1200, False), (2400, False))
        else:
            late = allowed(limit, moving.spec)
            yield case(f"{phase} {step}", moving, (late + 60, False), (late + 180, True))


def waits_for_a_person() -> ReleaseCutover:
    """Held up in Preflight by an item of the checklist that nobody has vouched for yet."""
    manual = {"checklist": [{"name": "on-call", "manual": "someone is on call tonight"}]}
    world = {"pod": pod(SOURCE), "process": TRADING, "recording": Samples("ok").recording()}
    before = status(CutoverPhase.PREFLIGHT)
    after = written(decide(seen(cutover(before, **manual), **world)))
    assert after.phase is CutoverPhase.PREFLIGHT
    assert "someone is on call tonight" in after.message
    return entered_at_zero(after)


def test_a_cutover_that_outlives_its_phase_wakes_somebody_and_one_that_waits_for_people_does_not(
    promtool: Path, tmp_path: Path
) -> None:
    tests = [*open_places(), case("a manual item", waits_for_a_person(), (1200, False))]
    bare = [{k: v for k, v in rule.items() if k != "annotations"} for rule in RULES]
    (tmp_path / "rules.yaml").write_text(
        yaml.safe_dump({"groups": [{"name": "all", "rules": bare}]})
    )
    (tmp_path / "cases.yaml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "15s", "tests": tests})
    )
    checked(promtool, "test", "rules", tmp_path / "cases.yaml")


def test_the_page_of_a_stuck_cutover_names_the_phases_that_can_be_and_their_limits() -> None:
    text = (RUNBOOKS / "TradePulseCutoverStuck.md").read_text()
    meaning = text.partition("## What it means")[2].partition("## Impact")[0]
    limited, free = meaning.split("Nobody is woken")
    going_on = {phase: means for (phase, _), means in TABLE.items() if not means.final}
    assert in_backticks(limited) == {p for p, means in going_on.items() if means.expected_within}
    assert in_backticks(free) == {p for p, means in going_on.items() if not means.expected_within}
    limits = {f"spec.{m.expected_within}" for m in going_on.values() if m.expected_within}
    assert {limit for limit in limits if f"`{limit}`" in limited} == limits
    assert in_backticks(text) <= set(CutoverPhase)


def in_backticks(text: str) -> set[str]:
    return set(re.findall(r"`([A-Z][A-Za-z]+)`", text))


def test_what_the_guard_breaks_at_by_default_is_what_people_are_woken_for() -> None:
    by_name = {rule["alert"]: rule["expr"] for rule in RULES}
    limits = GuardConfig()
    assert f"> {limits.error_rate_threshold:g}\n" in by_name["TradePulseOrderErrorRate"]
    seconds = limits.latency_threshold_ms / 1000
    assert f"> {seconds:g}\n" in by_name["TradePulseOrderLatency"]
