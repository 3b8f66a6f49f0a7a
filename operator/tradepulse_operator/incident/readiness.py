"""A cutover → whether its release is ready, as Markdown that people sign by. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tradepulse_operator.api.approvals import Grant
from tradepulse_operator.api.checklist import CheckResult
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.release import Release
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.controllers.checklist.approvals import counts, roles, unsigned

from .redact import redact
from .tables import cell, table

_OPEN = (CheckResult.PENDING, CheckResult.FAIL)


def readiness(cutover: ReleaseCutover, runner: TradingRunner | None = None) -> str:
    """What was checked, waived, rehearsed and signed, and what is still open.

    `runner`: adds the roles that it asks of every cutover; without it only the cutover's own are
    known.
    """
    open_ones = list(_open(cutover, runner))
    verdict = (
        "Not ready." if open_ones else "Ready: every item passed or is waived, all have signed."
    )
    sections = [
        f"# Release readiness: {cell(cutover.metadata.name)}",
        verdict + "".join(f"\n- {cell(each)}" for each in open_ones),
        "## Release\n\n" + table(("", "From", "To"), _releases(cutover)),
        "## Checklist\n\n" + table(("Item", "Result", "By", "Since", "Found"), _items(cutover)),
        "## Rehearsal\n\n" + _rehearsal(cutover),
        "## Sign-offs\n\n" + table(("Role", "By", "Counts"), _signatures(cutover, runner)),
    ]
    return redact("\n\n".join(sections) + "\n")


def _open(cutover: ReleaseCutover, runner: TradingRunner | None) -> Iterator[str]:
    status = cutover.status
    if status.target is None:
        yield "the target is not known yet"
    for record in status.checklist:
        if record.result in _OPEN:
            yield f"{record.name}: {record.result}: {record.message}"
    recorded = {record.name for record in status.checklist}
    for item in cutover.spec.checklist:
        if item.name not in recorded:
            yield f"{item.name}: not checked yet"
    if lacks := unsigned(cutover, runner):
        yield lacks


def _releases(cutover: ReleaseCutover) -> Iterable[tuple[str, ...]]:
    def pair(name: str, field: str) -> tuple[str, ...]:
        return name, _of(cutover.status.source, field), _of(cutover.status.target, field)

    yield pair("Id", "id")
    yield pair("Image", "image")
    yield pair("Digest", "image_id")
    yield pair("Configuration", "config_hash")


def _of(release: Release | None, field: str) -> str:
    return str(getattr(release, field) or "unknown") if release else "unknown"


def _items(cutover: ReleaseCutover) -> Iterable[tuple[str, ...]]:
    for one in cutover.status.checklist:
        yield one.name, one.result.value, one.by or "", one.at, one.message


def _rehearsal(cutover: ReleaseCutover) -> str:
    rehearsal = cutover.status.rehearsal
    if rehearsal is None:
        return "None was seen."
    p95 = (
        "unknown" if rehearsal.p95_milliseconds is None else f"{rehearsal.p95_milliseconds:.0f} ms"
    )
    rows = [
        ("Result", rehearsal.result.value if rehearsal.result else "still going on"),
        ("In words", rehearsal.message),
        ("Began", rehearsal.started_at),
        ("Ended", rehearsal.finished_at or "not yet"),
        ("Orders", f"{rehearsal.orders}, {rehearsal.failed} failed, p95 {p95}"),
    ]
    return table(("", ""), rows)


def _signatures(cutover: ReleaseCutover, runner: TradingRunner | None) -> Iterable[tuple[str, ...]]:
    granted = {grant.role: grant for grant in cutover.spec.approvals.granted}
    for role in roles(cutover, runner):
        grant = granted.get(role)
        yield role, grant.by if grant else "nobody yet", _counts(cutover, grant)


def _counts(cutover: ReleaseCutover, grant: Grant | None) -> str:
    target = cutover.status.target
    if grant is None or target is None:
        return "no"
    return "yes" if counts(grant, target.id, target.image_id) else "no, it is of another release"
