"""A heartbeat that the guard would take for silence is refused before anything starts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.operator.cutovers import cutover, runner, seen, status, written
from tests.support.operator.settled import conditions, settled
from tradepulse_operator.api.cutover_status import CutoverPhase
from tradepulse_operator.api.guardrails import Guardrails
from tradepulse_operator.api.release import ReleaseSpec
from tradepulse_operator.controllers.cutover.phases.pending import pending
from tradepulse_operator.resources.config.heartbeat import (
    require_heartbeat_interval,
    seeming_silence,
)
from tradepulse_operator.resources.config.release import render_release
from tradepulse_operator.resources.config.render import ConfigError

MINE = ReleaseSpec(image="registry.test/runner:1.1.0", config="mine")


def check(user: str, scrape: str = "15s", **guardrails: Any) -> None:
    found = render_release(runner(), MINE, user)
    rails = Guardrails.model_validate(guardrails)
    require_heartbeat_interval(found, "mine", rails, scrape, "spec.guardrails")


@pytest.mark.parametrize(
    ("beat", "scrape", "rails"),
    [
        ("31", "15s", {}),  # 45 s of silence, and the default gap is 31 s
        ("60", "15s", {"metricGap": "30s"}),
        ("16", "15s", {"metricGap": "30s"}),  # noticed every other scrape, exactly at the limit
        ("2.5", "1s", {"metricGap": "2s"}),
        (".inf", "15s", {}),
    ],
)
def test_a_beat_that_looks_like_silence_is_refused(
    beat: str, scrape: str, rails: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError) as error:
        check(f"loop: {{heartbeat_interval: {beat}}}", scrape, **rails)
    text = str(error.value)
    assert error.value.reason == "InvalidConfig"
    for told in ("ConfigMap mine, key runner.yaml", "loop.heartbeat_interval is", "metricGap",
                 "lower it", f"scraped every {scrape}"):  # fmt: skip
        assert told in text
    assert ("the default" in text) is not bool(rails)


@pytest.mark.parametrize(
    ("user", "scrape", "rails"),
    [
        ("", "15s", {}),
        ("loop: {max_backoff: 9}", "1s", {"metricGap": "2s"}),
        ("loop: {heartbeat_interval: 30}", "15s", {}),
        ("loop: {heartbeat_interval: 60}", "15s", {"metricGap": "2m"}),
        ("loop: {heartbeat_interval: 0.1}", "15s", {"metricGap": "16s"}),
        # Nonsense is the runner's own to refuse, in its own words.
        ("loop: {heartbeat_interval: often}", "15s", {}),
        ("loop: {heartbeat_interval: .nan}", "15s", {}),
        ("loop: {heartbeat_interval: true}", "15s", {}),
        ("loop: heartbeat_interval", "15s", {}),
    ],
)
def test_what_the_guard_can_live_with_is_not(user: str, scrape: str, rails: dict[str, Any]) -> None:
    check(user, scrape, **rails)


@given(st.integers(1, 200), st.integers(1, 60), st.integers(0, 199))
def test_no_healthy_runner_ever_seems_silent_for_longer(beat: int, scrape: int, late: int) -> None:
    noticed = []
    for at in range(0, 20 * max(beat, scrape), scrape):
        if (at - late) // beat > (at - scrape - late) // beat:
            noticed.append(at)
    assert max(after - before for before, after in pairwise(noticed)) <= seeming_silence(
        beat, scrape
    )


def test_a_runner_with_such_a_configuration_says_so_and_its_running_release_goes_on() -> None:
    world = settled(release={"image": "registry.test/runner:1.0.0", "config": "mine"})
    world.user_config = "loop: {heartbeat_interval: 1}"
    world.settle()
    assert world.status["phase"] == "Trading"
    world.user_config = "loop: {heartbeat_interval: 60}"
    world.settle()
    assert world.status["phase"] == "Trading"
    assert conditions(world)["Stalled"] == ("True", "InvalidConfig")
    world.user_config = "loop: {heartbeat_interval: 2}"
    world.settle()
    assert "Stalled" not in conditions(world)


def test_a_cutover_is_judged_by_its_own_guardrails() -> None:
    user = "loop: {heartbeat_interval: 60}"
    waiting = status(CutoverPhase.PENDING)
    asked = {"release": MINE.wire()}
    narrow = seen(cutover(waiting, **asked), user_config=user)
    found = written(pending(narrow))
    assert found.phase is CutoverPhase.FAILED
    wide = cutover(waiting, **asked, guardrails={"metricGap": "2m"})
    assert written(pending(seen(wide, user_config=user))).phase is not CutoverPhase.FAILED
