"""What was checked, approved and measured before anything was touched. Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from tradepulse_operator.api.baseline import Baseline, ServiceBaseline
from tradepulse_operator.api.cutover import ReleaseCutover

from .evidence import Evidence
from .tables import bullets, cell, number, table


def people(cutover: ReleaseCutover) -> str:
    """The checklist's results, and who signed, vouched for and waived what."""
    records = cutover.status.checklist
    rows = [(r.name, r.result.value, r.by or "", r.at, r.message) for r in records]
    text = table(("Item", "Result", "By", "Since", "Found"), rows) + "\n\n" if rows else ""
    return text + bullets(_words(cutover))


def _words(cutover: ReleaseCutover) -> Iterator[str]:
    spec = cutover.spec
    for grant in spec.approvals.granted:
        image = f", image {grant.image_id}" if grant.image_id else ""
        yield cell(f"{grant.by} signed release {grant.release}{image} as {grant.role}.")
    for said in spec.confirmations:
        yield cell(f"{said.by} vouched for {said.check}: {said.note}")
    for waiver in spec.waivers:
        yield cell(f"{waiver.by} waived {waiver.check}: {waiver.reason}")
    if not (spec.approvals.granted or spec.confirmations or spec.waivers):
        yield "No signature was asked for, nothing was vouched for or waived."


def baseline(evidence: Evidence) -> str:
    """The runner before the halt, with its positions compared with those of now."""
    measured = evidence.cutover.status.baseline
    if measured is None:
        return "Nothing was measured: the active release was never halted."
    parts = [f"Measured at {measured.at}, in the last reconciliation before the halt."]
    if measured.service:
        parts.append(table(("", ""), _service(measured.service)))
    else:
        parts.append("Its order requests could not be measured.")
    if measured.book:
        parts.append(
            f"Its newest snapshot was generation {measured.book.generation}, sha256"
            f" {measured.book.sha256 or 'unknown'}."
        )
    parts.append(_positions(evidence, measured))
    return "\n\n".join(parts)


def _service(service: ServiceBaseline) -> list[tuple[str, str]]:
    def limit(value: float | None) -> str:
        return "none" if value is None else f"{value:.6g}"

    return [
        ("Window", service.window),
        ("Order requests", f"{service.requests:g}, {service.failed:g} failed"),
        ("95th percentile of the latency", f"{number(service.p95_latency)} s"),
        ("Limit of the error rate that follows", limit(service.error_rate_limit)),
        ("Limit of the 95th percentile that follows, s", limit(service.p95_limit)),
    ]


def _positions(evidence: Evidence, baseline: Baseline) -> str:
    before = (
        {(p.venue, p.symbol): p.quantity for p in baseline.book.positions} if baseline.book else {}
    )
    process = evidence.process
    now = {(v, s): quantity for v, s, quantity in process.positions} if process else {}
    if not before and not now:
        return "No position was open before the halt, none is known now."
    nothing = "0" if process else "unknown"
    rows = [
        (*at, before.get(at, "0" if baseline.book else "unknown"), now.get(at, nothing))
        for at in sorted({*before, *now})
    ]
    more = baseline.book.positions_left_out if baseline.book else 0
    left = f"\n\n{more} more positions of before are not listed." if more else ""
    return (
        table(("Venue", "Symbol", "Before the halt", "When this was written"), rows)
        + left
        + "\n\nBoth releases traded in between: a difference has to be their fills, which the"
        " venue reports."
    )
