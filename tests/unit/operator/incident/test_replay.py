"""A report is enough to derive its verdict again, and shows when it was changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tests.support.operator.evidence import cutover, evidence
from tradepulse_operator.api.baseline import Baseline, BaselinePolicy
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.cli.main import main
from tradepulse_operator.common.time import instant, timestamp
from tradepulse_operator.controllers.cutover.baseline import service_of
from tradepulse_operator.controllers.cutover.watch import record, to_status
from tradepulse_operator.guard.bake import Checkpoint, Decision, advance
from tradepulse_operator.guard.baseline import tightened
from tradepulse_operator.guard.limits import Limits
from tradepulse_operator.guard.samples import Recording, Series
from tradepulse_operator.incident.bundle import build
from tradepulse_operator.incident.replay import Unreplayable, replay

REPORTS = Path(__file__).parents[3] / "contract" / "vectors" / "reports"
START = instant("2026-01-02T03:01:30Z")
LIMITS = Limits(
    interval=5.0,
    window=60.0,
    scrape=5.0,
    metric_gap=11.0,
    error_rate=0.02,
    p95=0.5,
    consecutive=2,
    min_requests=10,
)


def counter(name: str, rate: float, span: tuple[int, int], **labels: str) -> Series:
    points = tuple((START + n, rate * (n - span[0])) for n in range(*span, 5))
    return Series({"__name__": name, **labels}, points)


def recording(failing: float = 2.0, span: tuple[int, int] = (-60, 90)) -> Recording:
    """A release that answers ten orders a second, `failing` of them with an error."""
    outcome = "tradepulse_order_outcomes_total"
    buckets = "tradepulse_order_latency_seconds_bucket"
    return Recording(
        START - 60,
        START + 90,
        runner=(
            Series({"__name__": "live_loop_heartbeat"}, counter("", 1.0, span).points),
            counter(outcome, 10 - failing, span, outcome="ok"),
            counter(outcome, failing, span, outcome="error"),
            counter(buckets, 10, span, le="0.1"),
            counter(buckets, 10, span, le="+Inf"),
        ),
        control=(Series({"__name__": "up"}, tuple((START + n, 1.0) for n in range(-60, 90, 5))),),
    )


def report(
    failing: float = 2.0,
    found: ReleaseCutover | None = None,
    limits: Limits = LIMITS,
    baseline: Recording | None = None,
) -> dict[str, str]:
    """The report on a verdict that the guard really reached."""
    seen = recording(failing)
    begun = Checkpoint(started_at=START, evaluated_until=START)
    progress = advance(begun, seen, START + 80, limits)
    assert progress.decision is Decision.ROLLBACK
    assert progress.verdict
    found = found or cutover()
    status = found.status.model_copy(
        update={"verdict": record(progress.verdict), "bake": to_status(progress.checkpoint)}
    )
    decided = ReleaseCutover.model_validate(found.model_copy(update={"status": status}).wire())
    filed = build(evidence(cutover=decided, recording=seen, limits=limits, baseline=baseline))
    return dict(filed["data"])


AT = START - 100
POLICY = {"window": "5m", "errorRateIncrease": 0.002, "p95Increase": 0.5}


def running(failing: float = 0.01) -> Recording:
    """The release of before: ten orders a second, hardly any fails."""

    def earlier(one: Series) -> Series:
        points = tuple((AT + n, v) for n, (_, v) in zip(range(-400, 1, 5), one.points, strict=True))
        return Series(one.labels, points)

    found = recording(failing, span=(0, 405))
    return Recording(AT - 400, AT, runner=tuple(map(earlier, found.runner)))


def compared() -> dict[str, str]:
    """The report on a release that keeps every absolute limit, but not what the one before kept."""
    before = running()
    policy = BaselinePolicy.model_validate(POLICY)
    service = service_of(before, AT, policy, LIMITS)
    assert service
    held = tightened(LIMITS, service.error_rate_limit, service.p95_limit)
    found = cutover()
    baseline = Baseline(at=timestamp(AT), service=service)
    status = found.status.model_copy(update={"baseline": baseline})
    spec = found.spec.model_copy(update={"baseline": policy})
    found = found.model_copy(update={"status": status, "spec": spec})
    return report(0.18, found, held, before)


def write(folder: Path, parts: dict[str, str]) -> str:
    for name, text in parts.items():
        (folder / name).write_text(text)
    return str(folder)


def test_the_same_verdict_follows_from_the_report() -> None:
    found = replay(report())
    assert found.agrees
    assert found.chain == ""
    assert len(found.derived) == LIMITS.consecutive
    assert found.derived[-1].at == instant(found.recorded.at)


def test_the_baseline_follows_from_its_own_samples(tmp_path: Path) -> None:
    parts = compared()
    found = replay(parts)
    assert (found.agrees, found.baseline, found.chain) == (True, "", "")
    assert json.loads(parts["limits.json"])["errorRate"] < 0.01
    said = CliRunner().invoke(main, ["replay", write(tmp_path, parts)])
    assert said.exit_code == 0, said.output
    assert "baseline: the same" in said.output
    for text in ("| Order requests | 3000, 3 failed |", "| Window | 5m |"):
        assert text in parts["report.md"]


@pytest.mark.parametrize(
    ("part", "old", "new", "says"),
    [
        ("cutover.json", '"failed": 3', '"failed": 2', "its samples lead to another one"),
        ("limits.json", '"consecutive": 2', '"consecutive": 2', ""),
        (
            "limits.json",
            'LatencySeconds": 0.',
            'LatencySeconds": 1.',
            "limits.json has other limits",
        ),
    ],
)
def test_another_baseline_shows(part: str, old: str, new: str, says: str) -> None:
    parts = compared()
    assert old in parts[part]
    found = replay({**parts, part: parts[part].replace(old, new)})
    assert (found.baseline, found.agrees) == (says, not says)


def test_a_baseline_without_its_samples_is_neither_right_nor_wrong() -> None:
    parts = compared()
    late = json.dumps({**json.loads(parts["baseline-samples.json"]), "since": AT - 100})
    assert replay({**parts, "baseline-samples.json": late}).baseline is None
    del parts["baseline-samples.json"]
    assert replay(parts).baseline is None


def test_every_part_that_is_json_stays_json() -> None:
    for name, text in report().items():
        if name.endswith(".json"):
            json.loads(text)


@pytest.mark.parametrize(
    ("part", "old", "new", "says"),
    [
        (
            "cutover.json",
            '"guardrail": "errorRate"',
            '"guardrail": "p95Latency"',
            "another verdict",
        ),
        ("limits.json", '"errorRate": 0.02', '"errorRate": 0.5', "another verdict"),
        ("report.md", "#", "##", "changed after"),
    ],
)
def test_a_changed_report_is_refused(
    tmp_path: Path, part: str, old: str, new: str, says: str
) -> None:
    parts = report()
    assert old in parts[part]
    parts[part] = parts[part].replace(old, new)
    found = CliRunner().invoke(main, ["replay", write(tmp_path, parts)])
    assert found.exit_code == 1
    assert says in found.output
    assert f"{part} was changed" in found.output


def test_a_directory_and_a_config_map_are_both_read(tmp_path: Path) -> None:
    parts = report()
    file = tmp_path / "report.yaml"
    file.write_text(yaml.safe_dump({"kind": "ConfigMap", "data": parts}))
    folder = tmp_path / "files"
    folder.mkdir()
    for path in (str(file), write(folder, parts)):
        found = CliRunner().invoke(main, ["replay", path])
        assert found.exit_code == 0, found.output
        assert "derived:  breach" in found.output
        assert "chain:    whole" in found.output


@pytest.mark.parametrize("file", sorted(REPORTS.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_report_that_was_filed_by_an_earlier_version_is_derived_again(file: Path) -> None:
    found = CliRunner().invoke(main, ["replay", str(file)])
    assert found.exit_code == 0, found.output
    for text in ("derived:  breach", "baseline: the same", "chain:    whole"):
        assert text in found.output


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 2}, "format 2 is unknown: replay with the operator that filed it"),
        ({"errorRate": "a lot"}, "errorRate: "),
        ({"p99LatencySeconds": 1.0}, "p99LatencySeconds: "),
        ({"metricGapSeconds": None}, "metricGapSeconds: "),
    ],
)
def test_limits_that_are_not_understood_are_refused(change: dict[str, object], says: str) -> None:
    parts = report()
    changed = json.dumps({**json.loads(parts["limits.json"]), **change})
    with pytest.raises(Unreplayable, match=f"limits.json: not the limits of a guard: {says}"):
        replay({**parts, "limits.json": changed})


@pytest.mark.parametrize("part", ["cutover.json", "limits.json", "samples.json", "manifest.json"])
def test_what_lacks_is_named(part: str) -> None:
    parts = report()
    del parts[part]
    with pytest.raises(Unreplayable, match=part):
        replay(parts)
    with pytest.raises(Unreplayable, match=f"{part}: not JSON"):
        replay({**parts, part: "{"})


def test_samples_that_begin_too_late_prove_nothing() -> None:
    parts = report()
    parts["samples.json"] = json.dumps({**json.loads(parts["samples.json"]), "since": START + 60})
    with pytest.raises(Unreplayable, match="begins too late"):
        replay(parts)


def test_a_rollback_that_a_person_asked_for_has_nothing_to_replay() -> None:
    found = cutover()
    status = found.status.model_copy(update={"verdict": None})
    parts = dict(build(evidence(cutover=found.model_copy(update={"status": status})))["data"])
    with pytest.raises(Unreplayable, match="nothing to replay"):
        replay(parts)
