"""Chance is told from evidence, and adding up in pieces is adding up."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.operator.recordings import LIMITS, RecordedWorld, Runner
from tradepulse_operator.api.cutover_status import VerdictKind
from tradepulse_operator.guard.bake import Decision, advance, begin
from tradepulse_operator.guard.evidence import evidence
from tradepulse_operator.guard.overall import overall
from tradepulse_operator.guard.quantile import quantile
from tradepulse_operator.guard.tally import SLOWER, Tally, beyond_chance, slower
from tradepulse_operator.guard.verdict import tally

START = 600.0


@pytest.mark.parametrize(
    ("bad", "total", "proves"),
    [
        (0, 0, False),
        (1, 20, False),  # 5 %, and a release that fails 0.5 % shows it all the time
        (2, 20, False),
        (4, 20, True),
        (10, 480, False),  # just above 2 %
        (20, 480, True),  # twice the limit, a minute at eight orders a second
        (20, 20, True),
    ],
)
def test_what_a_share_proves_of_a_limit_of_2_percent(bad: int, total: int, proves: bool) -> None:
    assert beyond_chance(bad, total, 0.02) is proves


@given(st.integers(1, 400), st.floats(0.001, 0.5), st.data())
def test_a_release_at_the_limit_is_rarely_found_guilty(
    total: int, limit: float, data: st.DataObject
) -> None:
    """Against the exact binomial tail: what is called proven has at most 5 % by chance."""
    bad = data.draw(st.integers(0, total))
    if beyond_chance(bad, total, limit):
        tail = math.fsum(
            math.comb(total, k) * limit**k * (1 - limit) ** (total - k)
            for k in range(bad, total + 1)
        )
        assert tail <= 0.05 + 1e-9


@given(
    st.lists(st.integers(0, 50), min_size=2, max_size=6), st.sampled_from([0.02, 0.05, 0.3, 2.0])
)
def test_slow_requests_and_the_percentile_agree(counts: list[int], limit: float) -> None:
    """More than 5 % are slower than the limit exactly when the 95th percentile is above it."""
    bounds = [0.05 * 2**n for n in range(len(counts) - 1)] + [math.inf]
    cumulative = [float(sum(counts[: n + 1])) for n in range(len(counts))]
    buckets = dict(zip(bounds, cumulative, strict=True))
    found = quantile(1 - SLOWER, buckets)
    if found is None or (found.open and found.value < limit):
        return
    slow = slower(limit, buckets)
    above = found.value > limit or found.open
    if not math.isclose(slow, SLOWER * cumulative[-1]):
        assert (slow > SLOWER * cumulative[-1]) is above


@given(st.lists(st.integers(0, 300), max_size=5))
def test_adding_up_in_pieces_is_adding_up(cuts: list[int]) -> None:
    world = RecordedWorld(Runner(errors=lambda _: 0.03, slow=lambda _: 0.02))
    seen = evidence(world.recording(0, START + 400), LIMITS, START)
    edges = sorted({START, START + 300, *(START + cut for cut in cuts)})
    pieces = Tally()
    for low, high in itertools.pairwise(edges):
        pieces = pieces + tally(seen, low, high, LIMITS)
    assert pieces == Tally() + tally(seen, START, START + 300, LIMITS)
    assert pieces - pieces == Tally()


def test_rare_orders_are_distinguished_from_bad_luck_by_all_of_them_together() -> None:
    """Two of a hundred orders a minute fail three times over: no window proves it, all do."""
    world = RecordedWorld(Runner(rate=1.0, errors=lambda _: 0.05))
    rules = replace(LIMITS, required=600.0, consecutive=2)
    found = advance(begin(START), world.recording(0, START + 900), START + 900, rules)
    assert found.decision is Decision.ROLLBACK
    assert found.verdict
    assert "of all" in found.verdict.decisive.message
    assert found.checkpoint.tally.requests > 100


def test_what_is_above_the_limit_all_in_all_is_not_promoted() -> None:
    """Bad at first and good since: every window is kept by now, everything together isn't yet."""
    world = RecordedWorld(Runner(errors=lambda at: 0.06 if at < START + 30 else 0.0))
    rules = replace(LIMITS, required=30.0, window=15)
    found = advance(begin(START), world.recording(0, START + 80), START + 80, rules)
    assert found.decision is Decision.CONTINUE
    assert found.checkpoint.verified_seconds >= 30
    assert found.verdict
    assert found.verdict.kind is VerdictKind.UNKNOWN
    assert "too few to rule out chance" in found.verdict.decisive.message
    later = advance(found.checkpoint, world.recording(0, START + 300), START + 300, rules)
    assert later.decision is Decision.PROMOTE


def test_nothing_above_its_limit_says_nothing() -> None:
    assert overall(Tally(), LIMITS) == ()
    assert overall(Tally(100, 2, 100, 5), LIMITS) == ()
    kinds = [one.kind for one in overall(Tally(100, 3, 100, 50), LIMITS)]
    assert kinds == [VerdictKind.UNKNOWN, VerdictKind.BREACH]
