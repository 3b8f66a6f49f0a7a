"""The metrics page: current, complete, and each metric explained."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.manifests.described import all_series, programs
from tradepulse_operator.codegen import metrics
from tradepulse_operator.codegen.files import difference
from tradepulse_operator.codegen.metrics import Series, unit

ROOT = Path(__file__).parents[3]
PACKAGES = (ROOT / "operator", ROOT / "runner")
CLASSES = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}


def test_the_committed_page_is_what_the_programs_say() -> None:
    assert difference({"metrics.md": metrics.text(programs())}, ROOT / "docs") == ""


def defined() -> Iterator[str]:
    """Names of the metrics that a registry is given anywhere in operator or runner."""
    for file in (file for package in PACKAGES for file in package.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id in CLASSES and any(word.arg == "registry" for word in node.keywords):
                name = node.args[0]
                assert isinstance(name, ast.Constant), f"{file}:{node.lineno}: write the name out"
                yield str(name.value)


def test_every_metric_that_is_defined_is_on_the_page() -> None:
    assert {one.name.removesuffix("_total") for one in all_series()} == set(defined())


def test_a_metric_is_described_once() -> None:
    names = Counter(one.name for one in all_series())
    assert {name: times for name, times in names.items() if times > 1} == {}


@pytest.mark.parametrize("series", all_series(), ids=lambda one: one.name)
def test_a_metric_has_a_meaning(series: Series) -> None:
    assert re.fullmatch(r"[A-Z1].{10,}\.", series.help)
    assert (series.type == "counter") == series.name.endswith("_total")


@pytest.mark.parametrize(
    ("name", "kind", "about", "expected"),
    [
        ("live_loop_heartbeat", "gauge", "When.", "Unix time in seconds"),
        ("tradepulse_x_timestamp_seconds", "gauge", "When.", "Unix time in seconds"),
        ("tradepulse_lag_seconds", "gauge", "Age.", "seconds"),
        ("tradepulse_cpu_seconds_total", "counter", "Time.", "seconds"),
        ("tradepulse_lag_bytes", "gauge", "Size.", "bytes"),
        ("tradepulse_daily_loss_share", "gauge", "Loss.", "ratio"),
        ("tradepulse_up", "gauge", "1 while up.", "1 or 0"),
        ("tradepulse_depth", "gauge", "Events.", "number"),
        ("tradepulse_events_total", "counter", "Events.", "count"),
    ],
)
def test_a_unit_follows_from_the_name(name: str, kind: str, about: str, expected: str) -> None:
    assert unit(Series(name=name, type=kind, labels=(), help=about)) == expected


def test_the_guide_s_names_are_on_it() -> None:
    """Dashboards are built on them."""
    page = metrics.text(programs())
    for name in (
        "live_loop_heartbeat",
        "live_loop_orders_submitted_total",
        "live_loop_position_snapshot_timestamp",
    ):
        assert f"| `{name}` |" in page
