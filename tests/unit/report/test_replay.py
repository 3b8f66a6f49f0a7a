"""A report is enough to derive its verdict again, and shows when it was changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tests.unit.report.evidence import cutover, evidence
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.engine.cli import main
from tradepulse_operator.guard.bake import Checkpoint, Decision, advance
from tradepulse_operator.guard.limits import Limits
from tradepulse_operator.guard.samples import Recording, Series
from tradepulse_operator.reconcile.conditions import instant
from tradepulse_operator.reconcile.cutover_watch import record, stored
from tradepulse_operator.report.bundle import build
from tradepulse_operator.report.replay import Unreplayable, replay

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


def counter(name: str, rate: float, **labels: str) -> Series:
    points = tuple((START + n, rate * n) for n in range(-60, 90, 5))
    return Series({"__name__": name, **labels}, points)


def recording(failing: float = 2.0) -> Recording:
    """A release that answers ten orders a second, `failing` of them with an error."""
    outcome = "tradepulse_order_outcomes_total"
    buckets = "tradepulse_order_latency_seconds_bucket"
    return Recording(
        START - 60,
        START + 90,
        runner=(
            Series({"__name__": "live_loop_heartbeat"}, counter("", 1.0).points),
            counter(outcome, 10 - failing, outcome="ok"),
            counter(outcome, failing, outcome="error"),
            counter(buckets, 10, le="0.1"),
            counter(buckets, 10, le="+Inf"),
        ),
        control=(Series({"__name__": "up"}, tuple((START + n, 1.0) for n in range(-60, 90, 5))),),
    )


def report(failing: float = 2.0) -> dict[str, str]:
    """The report on a verdict that the guard really reached."""
    seen = recording(failing)
    begun = Checkpoint(started_at=START, evaluated_until=START)
    progress = advance(begun, seen, START + 80, LIMITS)
    assert progress.decision is Decision.ROLLBACK
    assert progress.verdict
    found = cutover()
    status = found.status.model_copy(
        update={"verdict": record(progress.verdict), "bake": stored(progress.checkpoint)}
    )
    decided = ReleaseCutover.model_validate(found.model_copy(update={"status": status}).wire())
    filed = build(evidence(cutover=decided, recording=seen, limits=LIMITS))
    return dict(filed["data"])


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
        ("limits.json", '"error_rate": 0.02', '"error_rate": 0.5', "another verdict"),
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
