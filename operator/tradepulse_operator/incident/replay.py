"""The verdict of an incident, derived once more from its report alone.

The samples that the guard saw are in the report, and so are its limits for them. The verdict
is a pure function of both: if it can't be derived again, the report was changed, lacks samples, or
the guard that replays is another one than the guard that decided.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.cutover_status import VerdictKind, VerdictRecord
from tradepulse_operator.api.guardrails import CustomGuardrail
from tradepulse_operator.api.units import seconds
from tradepulse_operator.common.time import instant
from tradepulse_operator.controllers.cutover.baseline import service_of, tighten
from tradepulse_operator.controllers.cutover.watch import from_status
from tradepulse_operator.guard import limits_file
from tradepulse_operator.guard.evidence import evidence
from tradepulse_operator.guard.limits import Limits
from tradepulse_operator.guard.overall import weighed
from tradepulse_operator.guard.results import Verdict
from tradepulse_operator.guard.verdict import judge_evidence, tally

from . import samples
from .chain import broken

_BASELINE = "baseline-samples.json"
_BAD = frozenset({VerdictKind.BREACH, VerdictKind.GAP})


class Unreplayable(ValueError):
    """A report without what a verdict follows from; the message names the part."""


@dataclass(frozen=True)
class Replay:
    """What the report says and what follows from it.

    `derived`: the verdicts of the consecutive instants that decided, oldest first. `chain`: what is
    wrong with the report's chain of hashes, or "". `baseline`: the same of the baseline that the
    limits follow from; None where its samples are not in the report.
    """

    recorded: VerdictRecord
    derived: tuple[Verdict, ...]
    chain: str
    baseline: str | None = None

    @property
    def agrees(self) -> bool:
        """Whether the guard would decide the same again."""
        last = self.derived[-1].decisive
        return (
            not self.baseline
            and all(one.kind in _BAD for one in self.derived)
            and self.derived[-1].sure
            and (last.kind, last.guardrail) == (self.recorded.verdict, self.recorded.guardrail)
            and last.value == self.recorded.value
        )


def replay(parts: Mapping[str, str]) -> Replay:
    """`parts`: name → text of a report's files. Raises Unreplayable.

    A verdict of a release that didn't become ready, or that a person aborted, rests on no samples.
    """
    cutover = ReleaseCutover.model_validate(_json(parts, "cutover.json"))
    recorded, bake = cutover.status.verdict, cutover.status.bake
    if recorded is None or bake is None or recorded.verdict not in _BAD:
        raise Unreplayable("cutover.json: no verdict of the guard is recorded: nothing to replay")
    limits = _limits(_json(parts, "limits.json"), cutover.spec.guardrails.custom)
    _json(parts, "samples.json")
    recording = samples.load(parts["samples.json"])
    at, start = instant(recorded.at), instant(bake.started_at)
    if recording.since > at - limits.window:
        raise Unreplayable("samples.json: it begins too late, its oldest samples were left out")
    seen, whole = evidence(recording, limits, start), from_status(bake, start).tally
    earlier = (at - number * limits.interval for number in reversed(range(limits.consecutive)))
    derived = (
        # What had been counted by then: all of it, less what came after.
        weighed(judge_evidence(seen, one, limits), whole - tally(seen, one, at, limits), limits)
        for one in earlier
    )
    return Replay(
        recorded=recorded,
        derived=tuple(derived),
        chain=_chain(parts),
        baseline=_baseline(parts, cutover, limits),
    )


def _baseline(parts: Mapping[str, str], cutover: ReleaseCutover, thresholds: Limits) -> str | None:
    """What is wrong with the baseline, measured once more on its own samples."""
    recorded = cutover.status.baseline
    if recorded is None or recorded.service is None or _BASELINE not in parts:
        return None
    _json(parts, _BASELINE)
    recording, at = samples.load(parts[_BASELINE]), instant(recorded.at)
    reach = seconds(recorded.service.window) + thresholds.window
    if recording.outage or recording.since > at - reach:
        return None
    service = service_of(recording, at, cutover.spec.baseline, thresholds)
    if service != recorded.service:
        return "its samples lead to another one"
    spec = cutover.spec.guardrails
    plain = replace(thresholds, error_rate=spec.error_rate, p95=seconds(spec.p95_latency))
    return "" if tighten(cutover, plain) == thresholds else "limits.json has other limits"


def _limits(stored: Mapping[str, Any], custom: tuple[CustomGuardrail, ...]) -> Limits:
    try:
        return limits_file.load(stored, custom)
    except ValueError as error:
        raise Unreplayable(f"limits.json: not the limits of a guard: {error}") from error


def _chain(parts: Mapping[str, str]) -> str:
    links = _json(parts, "manifest.json").get("links") or []
    return broken(links, {name: text for name, text in parts.items() if name != "manifest.json"})


def _json(parts: Mapping[str, str], name: str) -> dict[str, Any]:
    if name not in parts:
        raise Unreplayable(
            f"{name}: not in this report; give the directory or ConfigMap of a report"
        )
    try:
        parsed = json.loads(parts[name])
    except ValueError as error:
        raise Unreplayable(f"{name}: not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise Unreplayable(f"{name}: not an object")
    return parsed
