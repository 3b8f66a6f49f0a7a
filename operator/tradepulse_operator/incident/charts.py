"""What the guard saw, as a picture: each guardrail around the verdict, with its limit.

The values are the guard's own, judged again from the recorded samples; where it had no evidence,
the line has a hole. The same samples always make the same picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.cutover_status import VerdictKind
from tradepulse_operator.common.time import instant
from tradepulse_operator.guard.evidence import evidence
from tradepulse_operator.guard.limits import Limits
from tradepulse_operator.guard.results import ERROR_RATE, METRIC_GAP, P95_LATENCY, GuardrailResult
from tradepulse_operator.guard.samples import Recording
from tradepulse_operator.guard.verdict import judge_evidence

#: Pictures are of at most so many instants, and of so many guardrails.
_INSTANTS = 120
_PANELS = 4
_WIDTH, _PANEL = 760, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 24, 40, 30
_TITLES = {
    ERROR_RATE: "Share of order requests that failed",
    P95_LATENCY: "95th percentile of the order latency",
    METRIC_GAP: "Silence of the heartbeat",
}
_BAD = frozenset({VerdictKind.BREACH, VerdictKind.GAP})


@dataclass(frozen=True)
class Curve:
    """One guardrail over time. `points`: (unix seconds, value or None where nothing is known,
    whether it was a breach or a gap); `limit`: what is allowed, in the unit of the values."""

    guardrail: str
    points: tuple[tuple[float, float | None, bool], ...]
    limit: float | None

    @property
    def bad(self) -> bool:
        """Whether any point is a breach or a gap."""
        return any(bad for _, _, bad in self.points)


def curves(
    recording: Recording, thresholds: Limits, start: float, until: float
) -> tuple[Curve, ...]:
    """Every guardrail from `start` to `until` (unix seconds), the breached ones first."""
    since = max(start, recording.since)
    step = max(min(thresholds.interval, thresholds.scrape) / 2, (until - since) / _INSTANTS)
    seen = evidence(recording, thresholds, start)
    count = max(0, int((until - since) / step))
    times = [until - number * step for number in reversed(range(count + 1))]
    findings: dict[str, dict[float, GuardrailResult]] = {}
    for at in times:
        for one in judge_evidence(seen, at, thresholds).findings:
            findings.setdefault(one.guardrail, {})[at] = one
    drawn = [_curve(name, times, points) for name, points in findings.items()]
    worth = [one for one in drawn if any(value is not None for _, value, _ in one.points)]
    return tuple(sorted(worth, key=lambda one: not one.bad))


def _curve(name: str, times: Sequence[float], findings: Mapping[float, GuardrailResult]) -> Curve:
    """A point for each of `times`: at some of them nothing at all may have been found."""
    points = tuple(
        (at, one.value if one else None, one is not None and one.kind in _BAD)
        for at, one in ((at, findings.get(at)) for at in times)
    )
    limits = [one.limit for one in findings.values() if one.limit is not None]
    return Curve(name, points, limits[-1] if limits else None)


def chart(cutover: ReleaseCutover, recording: Recording | None, thresholds: Limits | None) -> str:
    """SVG of the guardrails of `cutover`'s bake; "" when there is nothing to draw."""
    bake, verdict = cutover.status.bake, cutover.status.verdict
    if bake is None or recording is None or thresholds is None or recording.outage:
        return ""
    judged = instant(verdict.at) if verdict else None
    shown = curves(recording, thresholds, instant(bake.started_at), recording.until)
    decisive = verdict.guardrail if verdict else ""
    first = sorted(shown, key=lambda one: one.guardrail != decisive)[:_PANELS]
    return _svg(first, judged) if first else ""


def _svg(shown: Sequence[Curve], judged: float | None) -> str:
    height = _PANEL * len(shown)
    panels = (_panel(one, number * _PANEL, judged) for number, one in enumerate(shown))
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"'
            f' viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="11">',
            f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
            *panels,
            "</svg>\n",
        )
    )


def _panel(curve: Curve, offset: int, judged: float | None) -> str:
    times = [at for at, _, _ in curve.points]
    since, until = times[0], max(times[-1], times[0] + 1)
    most = max([value for _, value, _ in curve.points if value is not None], default=0.0)
    low = min([value for _, value, _ in curve.points if value is not None] + [0.0])
    tick = _tick(max(most, curve.limit or 0.0) * 1.1 - min(low, curve.limit or 0.0) * 1.1)
    top = math.ceil(max(most, curve.limit or 0.0) * 1.1 / tick) * tick or tick
    low = math.floor(min(low, curve.limit or 0.0) * 1.1 / tick) * tick
    wide, tall = _WIDTH - _LEFT - _RIGHT, _PANEL - _TOP - _BOTTOM

    def x(at: float) -> float:
        return round(_LEFT + (at - since) / (until - since) * wide, 1)

    def y(value: float) -> float:
        return round(offset + _TOP + (top - value) / (top - low) * tall, 1)

    name = _TITLES.get(curve.guardrail, "Your own guardrail")
    mark = ": breached" if curve.bad else ""
    parts = [
        f'<text x="{_LEFT}" y="{offset + 20}" font-size="13" font-weight="bold">'
        f"{escape(name)} ({escape(curve.guardrail)}){mark}</text>",
        *_axes(curve, x, y, (since, until), (low, top, tick)),
        *_lines(curve, x, y),
        *_verdict(judged, x, (since, until), offset),
        *_limit(curve, y),
    ]
    return "\n".join(parts)


Scale = Callable[[float], float]


def _tick(span: float) -> float:
    """A round distance of the grid's lines, so that 3 to 6 of them cover `span`."""
    if not 0 < span < math.inf:
        return 1.0
    rough = span / 5
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= rough * (1 - 1e-9))


def _axes(
    curve: Curve, x: Scale, y: Scale, span: tuple[float, float], scale: tuple[float, float, float]
) -> Iterable[str]:
    low, top, tick = scale
    for number in range(round((top - low) / tick) + 1):
        value = low + number * tick
        yield (
            f'<line x1="{_LEFT}" y1="{y(value)}" x2="{_WIDTH - _RIGHT}" y2="{y(value)}"'
            ' stroke="#e3e3e3"/>'
            f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end" fill="#555">'
            f"{_number(curve.guardrail, value)}</text>"
        )
    since, until = span
    for number in range(6):
        at = since + (until - since) * number / 5
        anchor = "start" if not number else "end" if number == 5 else "middle"
        yield (
            f'<text x="{x(at)}" y="{y(low) + 16:.1f}" text-anchor="{anchor}" fill="#555">'
            f"{datetime.fromtimestamp(at, UTC):%H:%M:%SZ}</text>"
        )


def _lines(curve: Curve, x: Scale, y: Scale) -> Iterable[str]:
    run: list[str] = []
    for at, value, _ in (*curve.points, (0.0, None, False)):
        if value is not None:
            run.append(f"{x(at)},{y(value)}")
        elif run:
            yield (
                f'<polyline points="{" ".join(run)}" fill="none" stroke="#1f5fa8"'
                ' stroke-width="2"/>'
            )
            run = []
    for at, value, bad in curve.points:
        if value is not None:
            colour = "#c62828" if bad else "#1f5fa8"
            yield f'<circle cx="{x(at)}" cy="{y(value)}" r="{3 if bad else 2}" fill="{colour}"/>'


def _limit(curve: Curve, y: Scale) -> Iterable[str]:
    if curve.limit is None:
        return
    yield (
        f'<line x1="{_LEFT}" y1="{y(curve.limit)}" x2="{_WIDTH - _RIGHT}" y2="{y(curve.limit)}"'
        ' stroke="#c62828" stroke-dasharray="6 4"/>'
        f'<text x="{_LEFT + 4}" y="{y(curve.limit) - 4:.1f}" fill="#c62828">'
        f"allowed: {_number(curve.guardrail, curve.limit)}</text>"
    )


def _verdict(
    judged: float | None, x: Scale, span: tuple[float, float], offset: int
) -> Iterable[str]:
    if judged is None or not span[0] <= judged <= span[1]:
        return
    top, bottom = offset + _TOP - 8, offset + _PANEL - _BOTTOM
    yield (
        f'<line x1="{x(judged)}" y1="{top}" x2="{x(judged)}" y2="{bottom}" stroke="#333"/>'
        f'<text x="{x(judged) - 4:.1f}" y="{top + 2}" text-anchor="end">verdict</text>'
    )


def _number(guardrail: str, value: float) -> str:
    if guardrail == ERROR_RATE:
        return f"{value * 100:.3g} %"
    unit = " s" if guardrail in (P95_LATENCY, METRIC_GAP) else ""
    return f"{value:.3g}{unit}"
