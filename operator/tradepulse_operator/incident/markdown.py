"""The report that a person reads first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import assert_never

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.cutover_status import (
    CutoverPhase,
    PhaseRecord,
    ReleaseCutoverStatus,
    VerdictKind,
    VerdictRecord,
)
from tradepulse_operator.api.phases import End, current
from tradepulse_operator.api.policy import StateOnRollback
from tradepulse_operator.common.time import instant, timestamp

from .evidence import Evidence
from .preparation import baseline, people
from .redact import redact
from .streams import streams
from .tables import bullets, cell, number, table

_LOOK_AT = {
    "errorRate": "the errors in logs-runner.txt, and the venue's own status page",
    "p95Latency": "what the new release does between order and answer; config.diff for intervals",
    "metricGap": "the end of logs-runner.txt and pod.json: did the process crash, hang or restart?",
}
_STATE = {
    StateOnRollback.RESTORE: "was restored from that backup, then reconciled with the venue",
    StateOnRollback.KEEP: "was kept as the new release left it",
    StateOnRollback.FREEZE: "was frozen: the previous release runs with its kill switch engaged",
}


def render(evidence: Evidence, parts: Mapping[str, str], missing: Mapping[str, str]) -> str:
    """Markdown: what happened, when, on what grounds, what was done, what to check.

    `missing`: part → why it isn't among `parts`, of this stage and the one before.
    """
    cutover = evidence.cutover
    sections = [
        _title(evidence),
        "## What happened\n\n" + _story(cutover),
        "## Timeline\n\n" + _timeline(cutover, evidence.at),
        "## Verdict\n\n" + _verdict(cutover.status.verdict) + _picture(parts),
        "## Before anything was touched\n\n" + people(cutover),
        "## Baseline\n\n" + baseline(evidence),
        "## Event bus and database\n\n" + streams(evidence),
        "## What was done\n\n" + bullets(_done(cutover)),
        "## What to check\n\n" + bullets(_advice(evidence)),
        "## The process when this was written\n\n" + _process(evidence),
        "## Parts\n\n" + _parts(parts, missing),
    ]
    return redact("\n\n".join(sections) + "\n")


def _title(evidence: Evidence) -> str:
    cutover = evidence.cutover
    status, meta = cutover.status, cutover.metadata
    how = status.phase.value if status.phase else "unknown"
    still = "" if evidence.final else " (still going on; a final report follows)"
    source, target = status.source, status.target
    rows = {
        "Runner": f"{meta.namespace}/{cutover.spec.runner}",
        "Cutover": f"{meta.name}, uid {meta.uid}",
        "From": f"{source.image} (release {source.id})" if source else "unknown",
        "To": f"{target.image} (release {target.id})" if target else "unknown",
        "Began": status.started_at or "unknown",
        "Ended": status.finished_at or "not yet",
        "Written": timestamp(evidence.at),
    }
    return f"# {cell(meta.name)}: {how}{still}\n\n" + table(("", ""), rows.items())


def _story(cutover: ReleaseCutover) -> str:
    status = cutover.status
    target = status.target.image if status.target else "the new release"
    reason = status.rollback
    if reason is None:
        return f"The move to {target} ended {status.phase}: {cell(status.message)}"
    why = f"{reason.reason}: {reason.message}" if reason.message else reason.reason
    return f"{target} was taken back at {reason.started_at} ({cell(why)}). {_outcome(status)}"


def _outcome(status: ReleaseCutoverStatus) -> str:
    """How a rollback ended, or that it didn't yet."""
    facts = current(status)
    match facts.end:
        case None:
            return "The rollback is under way."
        case End.BAD if facts.kill_switch:
            return (
                "**The rollback could not be verified. Nothing trades: the kill switch is engaged,"
                " and a person must decide.**"
            )
        case End.BAD:
            return "The previous release trades again and its rollback is verified."
        case End.GOOD:
            return "The new release is the active one."
        case _:
            assert_never(facts.end)


def _timeline(cutover: ReleaseCutover, now: float) -> str:
    rows = (_entered(*pair, now=now) for pair in _pairs(cutover.status.phases))
    return table(("Entered", "Phase", "Lasted", "Why"), rows)


def _pairs(
    phases: tuple[PhaseRecord, ...],
) -> Iterable[tuple[PhaseRecord, PhaseRecord | None]]:
    return ((a, b) for a, b in zip_longest(phases, phases[1:]) if a is not None)


def _entered(record: PhaseRecord, after: PhaseRecord | None, *, now: float) -> tuple[str, ...]:
    end = instant(after.at) if after else now
    lasted = f"{max(0.0, end - instant(record.at)):.1f} s" + ("" if after else " so far")
    return record.at, record.phase.value, lasted, record.message


def _verdict(verdict: VerdictRecord | None) -> str:
    if verdict is None:
        return "No verdict of the guard led here."
    rows = {
        "Verdict": verdict.verdict.value,
        "Guardrail": verdict.guardrail or "none",
        "Measured": number(verdict.value),
        "Allowed": number(verdict.limit),
        "Judged instant": verdict.at,
        "In words": verdict.message,
    }
    return table(("", ""), rows.items())


def _picture(parts: Mapping[str, str]) -> str:
    if "chart.svg" not in parts:
        return ""
    return "\n\n![What the guard saw: each guardrail, its limit and the verdict](chart.svg)"


def _done(cutover: ReleaseCutover) -> Iterable[str]:
    status, backup = cutover.status, cutover.status.backup
    entered = {record.phase for record in status.phases}
    if CutoverPhase.HALTING in entered:
        yield "The previous release was ordered to cancel its orders and drain before it stopped."
    if backup:
        yield (
            f"The order state was backed up before the switch: {backup.files} files,"
            f" {backup.bytes} bytes, sha256 {backup.sha256 or 'unknown'}, as {backup.id}."
        )
    if status.rollback:
        yield "The new release was halted, its evidence collected, and it was stopped."
        if CutoverPhase.VERIFYING in entered:
            yield f"The order state {_STATE[cutover.spec.rollback.state]}."
    if CutoverPhase.ROLLED_BACK in entered:
        yield "The previous release was watched with the same guardrails before this was closed."
    if CutoverPhase.HALTED in entered:
        yield "The kill switch was engaged."


def _advice(evidence: Evidence) -> Iterable[str]:
    verdict = evidence.cutover.status.verdict
    if verdict and verdict.verdict in (VerdictKind.BREACH, VerdictKind.GAP):
        advice = _LOOK_AT.get(verdict.guardrail, "the query of this guardrail in queries.json")
        yield f"For {cell(verdict.guardrail)}: {advice}."
    process = evidence.process
    if process and process.unknown_orders:
        yield f"{process.unknown_orders} orders whose fate is unknown: compare with the venue."
    if process and process.open_orders:
        yield f"{process.open_orders} orders were still open."
    ended = evidence.cutover.status.streams
    if ended and ended.differences:
        yield "Event bus and database: they differ from the baseline, see above."
    if evidence.cutover.status.phase is CutoverPhase.HALTED:
        yield "Positions at the venue: nothing watches them until a person resets the kill switch."
    yield "The samples that were judged: samples.json; every value has the time of its scrape."


def _process(evidence: Evidence) -> str:
    process = evidence.process
    if process is None:
        return "It did not answer."
    rows = {
        "State": process.state,
        "Halt complete": "yes" if process.halt_complete else "no",
        "Kill switch": f"engaged: {process.kill_switch_reason}" if process.kill_switch else "off",
        "Open orders": str(process.open_orders),
        "Orders of unknown fate": str(process.unknown_orders),
        "Writer epoch": str(process.writer_epoch),
    }
    return table(("", ""), rows.items())


def _parts(parts: Mapping[str, str], missing: Mapping[str, str]) -> str:
    rows = [(name, f"{len(text.encode())} bytes") for name, text in sorted(parts.items())]
    rows += [(name, f"not collected: {why}") for name, why in sorted(missing.items())]
    return (
        table(("Part", ""), rows)
        + "\n\nmanifest.json has a hash of every part, chained; a part that was changed shows."
    )
