"""The table of phases: complete, consistent, the only one, and what the documents say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tradepulse_operator.api.cutover_status import (
    CutoverPhase,
    ReleaseCutoverStatus,
    RollbackStatus,
    RollbackStep,
)
from tradepulse_operator.api.phases import (
    TABLE,
    End,
    Limit,
    OnAbort,
    OrderState,
    People,
    PhaseFacts,
    Side,
    allowed,
    current,
    facts,
)
from tradepulse_operator.api.policy import CutoverPolicy

ROOT = Path(__file__).parents[4]
PACKAGE = ROOT / "operator" / "tradepulse_operator"
PHASE, STEP = CutoverPhase, RollbackStep
IDS = [f"{phase}-{step}" if step else str(phase) for phase, step in TABLE]


def test_the_table_holds_every_phase_and_every_step() -> None:
    assert list(dict.fromkeys(phase for phase, _ in TABLE)) == list(CutoverPhase)
    assert [step for phase, step in TABLE if phase is PHASE.ROLLING_BACK] == list(RollbackStep)


@pytest.mark.parametrize("means", TABLE.values(), ids=IDS)
def test_what_is_said_of_a_phase_does_not_contradict_itself(means: PhaseFacts) -> None:
    if not means.touched:
        assert (means.runs, means.state, means.kill_switch) == (
            Side.SOURCE,
            OrderState.AS_IS,
            False,
        )
        assert not means.halted
    if means.final:
        assert means.on_abort is OnAbort.IGNORE
        assert (means.judged, means.pauses, means.halted) == (False, False, False)
        assert means.bad is (means.end is End.BAD)
    # Nobody is woken for a wait that may be for people, nor for what has ended.
    assert means.expected_within is None or (means.people is People.NEVER and not means.final)
    # From the halt on a cutover has a deadline, but for the bake.
    open_ended = means.final or means.before_halt or means == facts(PHASE.BAKING)
    assert (means.expected_within is None) is open_ended
    # A target that was not backed up for must never start.
    assert (means.runs is Side.TARGET) is (means.state is OrderState.BACKED_UP)
    # No restore but of what a rollback has stopped.
    assert means.state is not OrderState.RESTORED or means.on_abort is OnAbort.IGNORE
    assert not means.judged or not means.halted


@pytest.mark.parametrize(
    ("step", "side"),
    [
        (None, Side.TARGET),
        (STEP.HALTING, Side.TARGET),
        (STEP.COLLECTING_EVIDENCE, Side.TARGET),
        (STEP.STOPPING, Side.TARGET),
        (STEP.STARTING, Side.SOURCE),
    ],
)
def test_an_end_in_halted_shows_the_release_that_was_at_work_last(
    step: RollbackStep | None, side: Side
) -> None:
    at = "2027-01-15T08:16:00Z"
    rollback = step and RollbackStatus(step=step, step_at=at, started_at=at, reason="Any")
    status = ReleaseCutoverStatus(phase=PHASE.HALTED, rollback=rollback)
    assert current(status).samples is side


def test_a_cutover_that_nobody_has_looked_at_is_pending() -> None:
    assert current(ReleaseCutoverStatus()) == facts(PHASE.PENDING)


def test_limits_are_the_policys_own() -> None:
    policy = CutoverPolicy.model_validate(
        {"haltDeadline": "7s", "switchDeadline": "8m", "rollback": {"deadline": "1h"}}
    )
    found = {limit: allowed(limit, policy) for limit in Limit}
    assert found == {
        Limit.HALT: 7.0,
        Limit.SWITCH: 480.0,
        Limit.EVIDENCE: 30.0,
        Limit.ROLLBACK: 3600.0,
    }


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield str(path.relative_to(PACKAGE)), ast.parse(path.read_text())


def members(node: ast.AST, *enums: str) -> set[str]:
    return {
        f"{each.value.id}.{each.attr}"
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute)
        and isinstance(each.value, ast.Name)
        and each.value.id in enums
    }


def test_there_is_no_second_table() -> None:
    found = [
        f"{name}:{node.lineno}"
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Set | ast.Dict | ast.List | ast.Tuple)
        and len(members(node, "CutoverPhase", "RollbackStep")) > 1
    ]
    assert found == []


def test_no_match_has_a_default_that_takes_what_is_not_listed() -> None:
    enums = ("CutoverPhase", "RollbackStep", *(each.__name__ for each in ENUMS))
    seen = 0
    for name, tree in modules():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Match):
                continue
            if not any(members(case.pattern, *enums) for case in node.cases):
                continue
            seen += 1
            last = node.cases[-1]
            assert ast.unparse(last.pattern) == "_", f"{name}:{node.lineno}"
            assert ast.unparse(last.body[0]).startswith("assert_never("), f"{name}:{node.lineno}"
    assert seen >= len(ENUMS)


ENUMS = (Side, OrderState, Limit, End)


def rows() -> dict[str, str]:
    """Rows of the table in the concepts, by their phase."""
    text = (ROOT / "docs" / "concepts.md").read_text()
    table = text.partition("| phase | what happens | leaves it when |\n")[2].partition("\n\n")[0]
    lines = [line for line in table.splitlines() if not line.startswith("| ---")]
    return {line.split(" | ")[0].strip("| "): line for line in lines}


def test_the_concepts_explain_each_phase_in_order_with_its_limit() -> None:
    found = rows()
    assert list(found) == list(CutoverPhase)
    for (phase, _), means in TABLE.items():
        limit = means.expected_within
        if limit is not None and limit is not Limit.EVIDENCE:
            assert f"`{limit}`" in found[phase], phase


def section() -> str:
    """What the README says of a release."""
    text = (ROOT / "README.md").read_text()
    return text.partition("## What happens to a release\n")[2].partition("\n## ")[0]


def test_the_readme_names_each_phase_and_no_other() -> None:
    chart, rest = section().split("```")[1:3]
    named = set(re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)*\b", chart)) - {"Git"}
    bold = set(re.findall(r"\*\*([A-Z]\w+)\*\*", rest))
    assert named | bold == set(CutoverPhase)


def test_the_chart_of_the_readme_turns_round_where_a_cutover_does() -> None:
    lines = section().split("```")[1].splitlines()
    number = next(n for n, line in enumerate(lines) if "Pending" in line)
    forward, below = lines[number], lines[number + 1]
    names = {match[0]: match.span() for match in re.finditer(r"[A-Z]\w+", forward)}
    without_people = [p for p in CutoverPhase if facts(p).people is not People.ALWAYS]
    order = without_people[: without_people.index(PHASE.SUCCEEDED) + 1]
    assert list(names) == order
    bars = [match.start() for match in re.finditer("│", below)]
    turns = [name for name, (a, b) in names.items() if any(a <= bar < b for bar in bars)]
    assert turns == [p for p in CutoverPhase if facts(p).on_abort is OnAbort.ROLL_BACK]
