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
from tests.unit.manifests.described import all_series
from tradepulse_runner.config.runner import GuardConfig

ROOT = Path(__file__).parents[3]
RUNBOOKS, CASES = ROOT / "docs" / "runbooks", ROOT / "tests" / "integration" / "alerting" / "cases"
RULE = yaml.safe_load((ROOT / "manifests" / "monitoring" / "prometheusrule.yaml").read_text())
RULES: list[dict[str, Any]] = [rule for group in RULE["spec"]["groups"] for rule in group["rules"]]
NAMES = [rule["alert"] for rule in RULES]
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


def test_names_are_told_apart() -> None:
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


def test_what_the_guard_breaks_at_by_default_is_what_people_are_woken_for() -> None:
    by_name = {rule["alert"]: rule["expr"] for rule in RULES}
    limits = GuardConfig()
    assert f"> {limits.error_rate_threshold:g}\n" in by_name["TradePulseOrderErrorRate"]
    seconds = limits.latency_threshold_ms / 1000
    assert f"> {seconds:g}\n" in by_name["TradePulseOrderLatency"]
