"""The picture of an incident: the guard's own values, holes where it knew nothing, bounded."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from tests.support.operator.evidence import cutover, evidence
from tests.support.operator.recordings import LIMITS, RecordedWorld, Runner, changed, with_value
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.common.time import timestamp
from tradepulse_operator.controllers.cutover.watch import to_status
from tradepulse_operator.guard.bake import begin
from tradepulse_operator.guard.samples import Recording
from tradepulse_operator.incident import bundle
from tradepulse_operator.incident.charts import chart, curves
from tradepulse_operator.incident.parts import LIMITS as SIZES

T = 1_800_000_000.0
FAILING = RecordedWorld(Runner(born=T - 400, errors=lambda at: 0.0 if at < T - 60 else 0.1))
SEEN = FAILING.recording(T - 400, T)


def baked(at: float = T - 15) -> ReleaseCutover:
    """A cutover whose bake began 300 s ago and was judged `at`."""
    found = cutover()
    assert found.status.verdict
    verdict = found.status.verdict.model_copy(update={"at": timestamp(at)})
    changes = {"bake": to_status(begin(T - 300)), "verdict": verdict}
    return found.model_copy(update={"status": found.status.model_copy(update=changes)})


def texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return [one.text or "" for one in root.iter("{http://www.w3.org/2000/svg}text")]


def test_the_breached_guardrail_comes_first_with_its_limit_and_the_verdict() -> None:
    found = texts(chart(baked(), SEEN, LIMITS))
    assert found[0] == "Share of order requests that failed (errorRate): breached"
    assert "allowed: 2 %" in found
    assert "verdict" in found
    assert "95th percentile of the order latency (p95Latency)" in found


def test_the_values_are_those_that_the_guard_saw() -> None:
    found = next(c for c in curves(SEEN, LIMITS, T - 300, T) if c.guardrail == "errorRate")
    assert found.limit == LIMITS.error_rate
    known = [(at, value, bad) for at, value, bad in found.points if value is not None]
    assert all(bad == (value > LIMITS.error_rate) for _, value, bad in known)
    assert not any(bad for at, _, bad in known if at < T - 60)
    assert known[-1][1] == pytest.approx(0.1, rel=0.2)


def test_where_nothing_is_known_the_line_has_a_hole() -> None:
    hidden = replace(FAILING, down=((T - 200, T - 120),)).recording(T - 400, T)
    found = next(c for c in curves(hidden, LIMITS, T - 300, T) if c.guardrail == "errorRate")
    dark = [value for at, value, _ in found.points if T - 165 < at < T - 125]
    assert dark
    assert set(dark) == {None}
    assert chart(baked(), hidden, LIMITS).count("<polyline") > chart(baked(), SEEN, LIMITS).count(
        "<polyline"
    )


ODD: dict[str, Callable[[Recording], Recording]] = {
    "NaN": lambda it: changed(
        it, "tradepulse_order_outcomes_total", lambda s: [with_value(s, T - 100, math.nan)]
    ),
    "infinite": lambda it: changed(
        it, "tradepulse_order_latency_seconds_bucket", lambda s: [with_value(s, T - 99, math.inf)]
    ),
    "nothing of the runner": lambda it: replace(it, runner=()),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_odd_samples_make_a_picture_or_none(odd: Callable[[Recording], Recording]) -> None:
    svg = chart(baked(), odd(SEEN), LIMITS)
    assert "nan" not in svg.lower()
    assert not svg or ElementTree.fromstring(svg) is not None


def test_an_outage_and_a_release_that_never_baked_have_no_picture() -> None:
    assert chart(baked(), Recording(0, 1, outage="503"), LIMITS) == ""
    assert chart(cutover(), SEEN, LIMITS) == ""


def test_it_is_a_part_of_the_report_and_within_its_size() -> None:
    made = bundle.build(evidence(cutover=baked(), recording=SEEN, limits=LIMITS))["data"]
    assert "(chart.svg)" in made["report.md"]
    assert 1000 < len(made["chart.svg"]) < SIZES["chart.svg"]
    assert '"part": "chart.svg"' in made["manifest.json"]
    again = bundle.build(evidence(cutover=baked(), recording=SEEN, limits=LIMITS))["data"]
    assert made == again


def test_a_long_bake_does_not_outgrow_it() -> None:
    long = RecordedWorld(Runner(born=T - 8000)).recording(T - 8000, T)
    found = baked()
    bake = to_status(begin(T - 7000))
    status = found.status.model_copy(update={"bake": bake})
    svg = chart(found.model_copy(update={"status": status}), long, LIMITS)
    assert 0 < len(svg) < SIZES["chart.svg"]
