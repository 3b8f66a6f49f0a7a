"""The campaign's table: a row per venue and point."""

from __future__ import annotations

from collections import defaultdict

from tests.chaos.campaign import Result
from tests.chaos.points import DAMAGE

HEAD = (
    f"{'venue':<9} {'killed before':<22} {'runs':>5} {'hit':>5} {'kills':>6} {'starts':>6} "
    f"{'orders':>7} {'fills':>7} {'lost':>5} {'dbl':>4} {'diff':>5} {'rest':>5} "
    f"{'p50 s':>6} {'p99 s':>6}"
)


def quantile(values: list[float], part: float) -> float:
    """The value below which ``part`` of ``values`` lie; 0 for none."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(part * len(ranked)))] if ranked else 0.0


def table(results: list[Result]) -> str:
    """All results, a row per venue and point, and their sum; void ones aren't among them."""
    results = [result for result in results if not result.void]
    groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.venue, result.point].append(result)
    rows = [_row(venue, point, found) for (venue, point), found in groups.items()]
    return "\n".join([HEAD, "-" * len(HEAD), *rows, "-" * len(HEAD), _row("all", "", results)])


def _row(venue: str, point: str, found: list[Result]) -> str:
    times = [seconds for result in found for seconds in result.converged]
    hits = "-" if point in DAMAGE else sum(r.hit for r in found)
    return (
        f"{venue:<9} {point:<22} {len(found):>5} {hits:>5} "
        f"{sum(r.crashes for r in found):>6} {sum(r.lives for r in found):>6} "
        f"{sum(r.orders for r in found):>7} {sum(r.fills for r in found):>7} "
        f"{sum(r.lost for r in found):>5} {sum(r.doubled for r in found):>4} "
        f"{sum(r.differing for r in found):>5} {sum(r.resting for r in found):>5} "
        f"{quantile(times, 0.5):>6.2f} {quantile(times, 0.99):>6.2f}"
    )


def failures(results: list[Result]) -> list[str]:
    """What speaks against the runner, or against the campaign: moments that never came."""
    lines = [
        f"{r.venue}, {r.point}, seed {r.seed}: {r.findings[0]}\n    repeat: {r.case.command}"
        for r in results
        if r.findings and not r.void
    ]
    groups: dict[tuple[str, str], bool] = defaultdict(bool)
    for r in results:
        groups[r.venue, r.point] |= r.hit or r.point in DAMAGE
    lines += [f"{v}, {p}: the moment never came" for (v, p), hit in groups.items() if not hit]
    return lines + [_starved(r) for r in results if r.void]


def _starved(result: Result) -> str:
    return (
        f"{result.venue}, {result.point}, seed {result.seed}: not judged, the machine gave it no"
        f" time ({result.hungry:.0%} of a life without a processor)\n"
        f"    repeat: {result.case.command}"
    )
