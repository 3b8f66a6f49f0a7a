"""Whether a cutover is signed off: by every role, each by another person, for this very release."""

from __future__ import annotations

from collections.abc import Iterator

from tradepulse_operator.api.approvals import Grant
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.runner import TradingRunner


def roles(cutover: ReleaseCutover, runner: TradingRunner | None) -> tuple[str, ...]:
    """The roles that must sign: those of the cutover, and those that the runner requires of every
    cutover. A manually created cutover can't omit what the runner's owner requires."""
    owners = runner.spec.cutover.template.approvals.required if runner else ()
    wanted = (*owners, *cutover.spec.approvals.required)
    return tuple(dict.fromkeys(wanted))


def unsigned(cutover: ReleaseCutover, runner: TradingRunner | None) -> str:
    """What it waits for, in words; "" when everyone who must has signed."""
    target = cutover.status.target
    release = target.id if target else ""
    image = target.image_id if target else None
    granted = cutover.spec.approvals.granted
    signed = {grant.role for grant in granted if counts(grant, release, image)}
    missing = [role for role in roles(cutover, runner) if role not in signed]
    if not missing:
        return ""
    what = f"release {release}, image {image}," if image else f"release {release}"
    waits = f"waits for {what} to be signed off by {', '.join(missing)}"
    return "; ".join([waits, *_void(granted, missing, release)])


def counts(grant: Grant, release: str, image: str | None) -> bool:
    """Whether it is of this very release; and of this very digest, where that is known already."""
    return grant.release == release and image in (None, grant.image_id)


def signatures(cutover: ReleaseCutover, runner: TradingRunner) -> str:
    """Who signed, for the record; "" when nobody had to."""
    wanted = roles(cutover, runner)
    given = [f"{g.by} ({g.role})" for g in cutover.spec.approvals.granted if g.role in wanted]
    return f"signed off by {', '.join(given)}" if given else ""


def _void(granted: tuple[Grant, ...], missing: list[str], release: str) -> Iterator[str]:
    for grant in granted:
        if grant.role not in missing:
            continue
        what = f"release {grant.release}"
        if grant.release == release:
            what = f"image {grant.image_id}" if grant.image_id else "no image (imageId)"
        yield f"{grant.by} signed {what} as {grant.role}, which is another one"
