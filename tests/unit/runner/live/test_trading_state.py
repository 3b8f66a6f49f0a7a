"""The one answer to "may we trade?": the decision, and the state that keeps it."""

from __future__ import annotations

import ast
import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tradepulse_runner
from tradepulse_runner.errors import DurabilityLost
from tradepulse_runner.killswitch import KillSwitch
from tradepulse_runner.lease.decisions import Candidate, Record
from tradepulse_runner.live.control import Directive
from tradepulse_runner.live.kill_latch import KillLatch
from tradepulse_runner.live.phase import Decision, Facts, Phase, TradingMode, VenueFacts, decide
from tradepulse_runner.live.trading_state import TradingState

NOW = 100.0
RECONCILED, RECONCILING = VenueFacts(True, True), VenueFacts(False, True)
NEVER_RECONCILED = VenueFacts()
WRITER = Candidate("me", 1, seen=Record("me", 1), epoch=1, valid_until=NOW + 10)
READY = Facts(started=True, venues={"a": RECONCILED})
HALT, REDUCE = Directive(halt=True, token="t"), Directive(reduce=True, token="t")

#: Facts that speak against sending anything, whatever the others are.
FORBIDDING: list[dict[str, object]] = [
    {"stopping": True},
    {"started": False},
    {"storage_failure": "storage failed: full"},
    {"kill_switch": "smoke"},
    {"kill_switch": ""},
    {"directive": HALT},
    {"guard_halt": "guard: error rate"},
    {"lease": Candidate("me", 1)},
    {"lease": replace(WRITER, valid_until=NOW)},
    {"lease": replace(WRITER, quiet_until=NOW + 1)},
    {"venues": {"a": NEVER_RECONCILED, "b": RECONCILED}},
    {"venues": {"a": RECONCILING, "b": RECONCILING}},
]
#: Facts that leave only what reduces.
RESTRAINING: list[dict[str, object]] = [
    {"directive": REDUCE},
    {"guard_reduce": "guard: latency"},
    {"soft_loss": "daily loss of 5 USD"},
    {"venues": {"a": RECONCILING, "b": RECONCILED}},
]
NEUTRAL: list[dict[str, object]] = [
    {"waiting": True},
    {"drained": True},
    {"lease": WRITER},
    {"venues": {}},
    {"directive": Directive(kill_switch="not latched yet")},
]


def facts_with(*changes: dict[str, object]) -> Facts:
    facts = replace(READY, others_may_reduce=True)
    for change in changes:
        facts = replace(facts, **change)  # type: ignore[arg-type]
    return facts


def disjoint(*changes: dict[str, object]) -> bool:
    names = [name for change in changes for name in change]
    return len(names) == len(set(names))


ALL = [*FORBIDDING, *RESTRAINING, *NEUTRAL]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_every_combination_of_facts(count: int) -> None:
    """All may leave only when nothing speaks against it, and none when anything forbids it."""
    seen = set()
    for changes in itertools.combinations(ALL, count):
        if not disjoint(*changes):
            continue
        decision = decide(facts_with(*changes), NOW)
        forbidden = any(change in FORBIDDING for change in changes)
        restrained = any(change in RESTRAINING for change in changes)
        wanted = (
            TradingMode.HALTED
            if forbidden
            else TradingMode.REDUCING
            if restrained
            else TradingMode.ACTIVE
        )
        assert decision.phase.mode is wanted, changes
        assert bool(decision.why) == (decision.phase is not Phase.TRADING)
        assert (decision.refusal is None) == (not forbidden)
        seen.add(wanted)
    assert seen == (set(TradingMode) if count else {TradingMode.ACTIVE})


DECISIONS: list[tuple[list[dict[str, object]], Phase, str]] = [
    ([], Phase.TRADING, ""),
    ([{"started": False}], Phase.STARTING, "loading state"),
    ([{"venues": {"a": NEVER_RECONCILED}}], Phase.RECONCILING, "reconciling with the venue"),
    ([RESTRAINING[3]], Phase.REDUCING, "a venue is being reconciled"),
    ([RESTRAINING[3], {"others_may_reduce": False}], Phase.RECONCILING, "reconciling with"),
    # A halt is only complete once the venue's truth is known, whoever may reduce.
    ([RESTRAINING[3], {"directive": HALT}], Phase.RECONCILING, "reconciling with the venue"),
    ([RESTRAINING[3], {"kill_switch": "x"}], Phase.RECONCILING, "reconciling with the venue"),
    ([{"directive": REDUCE}], Phase.REDUCING, "reducing: no reason given"),
    ([{"directive": replace(REDUCE, reason="thin")}], Phase.REDUCING, "reducing: thin"),
    ([{"soft_loss": "loss"}, {"guard_reduce": "guard"}], Phase.REDUCING, "loss"),
    ([{"directive": REDUCE}, {"guard_halt": "guard: gap"}], Phase.HALTED, "halted: guard: gap"),
    ([{"directive": HALT}], Phase.HALTED, "halted: no reason given"),
    ([{"directive": replace(HALT, reason="by Ada")}], Phase.HALTED, "halted: by Ada"),
    ([{"directive": HALT}, {"kill_switch": "smoke"}], Phase.HALTED, "kill switch: smoke"),
    ([{"kill_switch": ""}], Phase.HALTED, "kill switch: no reason given"),
    ([{"storage_failure": "full"}, {"kill_switch": "smoke"}], Phase.HALTED, "full"),
    ([{"kill_switch": "smoke"}, {"stopping": True}], Phase.STOPPING, "shutting down"),
    ([{"lease": Candidate("me", 1)}, {"stopping": True}], Phase.STOPPING, "shutting down"),
    (
        [{"lease": Candidate("me", 1)}, {"started": False}, {"waiting": True}],
        Phase.WAITING,
        "WAITING for the writer lease: no writer lease yet",
    ),
    ([{"lease": Candidate("me", 1)}, {"started": False}], Phase.STARTING, "loading state"),
    ([{"lease": Candidate("me", 1)}, {"storage_failure": "full"}], Phase.WAITING, "WAITING for"),
]


@pytest.mark.parametrize(("changes", "phase", "why"), DECISIONS)
def test_which_reason_wins(changes: list[dict[str, object]], phase: Phase, why: str) -> None:
    decision = decide(facts_with(*changes), NOW)
    assert decision.phase is phase
    assert decision.why.startswith(why)
    assert bool(decision.why) == bool(why)


times = st.floats(0, 200, allow_nan=False)


@given(started=st.booleans(), valid=times, quiet=times, now=times, later=times)
def test_a_decision_stands_until_the_moment_it_names(
    started: bool, valid: float, quiet: float, now: float, later: float
) -> None:
    """So the one that was kept is the one that would be made anew."""
    lease = replace(WRITER, valid_until=valid, quiet_until=quiet)
    facts = replace(READY, started=started, waiting=True, lease=lease)
    made = decide(facts, now)
    assert made.until > now
    if now <= later < made.until:
        assert decide(facts, later) == made


# -- the state -------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def trading(clock: Clock) -> tuple[TradingState, list[Decision]]:
    state = TradingState(others_may_reduce=True, clock=clock)
    state.set_started()
    state.set_venue("a", reconciled=True)
    told: list[Decision] = []
    state.on_change.connect(lambda _before, now: told.append(now))
    return state, told


def test_subscribers_hear_of_a_change_once_and_of_nothing_else() -> None:
    state, told = trading(Clock())
    state.set_kill_switch("smoke")
    state.set_kill_switch("smoke")
    state.set_drained(True)
    state.set_directive(HALT)  # the kill switch's reason stays
    assert [(d.phase, d.why) for d in told] == [(Phase.HALTED, "kill switch: smoke")]
    state.set_directive(Directive())
    state.set_kill_switch(None)
    assert [d.phase for d in told] == [Phase.HALTED, Phase.TRADING]


def test_a_subscriber_that_fails_leaves_the_decision_in_force() -> None:
    state, _ = trading(Clock())

    def fails(_before: Decision, _now: Decision) -> None:
        raise RuntimeError

    state.on_change.connect(fails)
    state.set_kill_switch("smoke")
    assert state.refusal == "kill switch: smoke"


def test_a_lease_that_runs_out_closes_the_gate_though_nobody_tells() -> None:
    clock = Clock()
    state, told = trading(clock)
    state.set_lease(WRITER)
    clock.now = WRITER.valid_until - 0.001
    assert state.refusal is None
    clock.now = WRITER.valid_until
    assert state.refusal == "WAITING for the writer lease: the writer lease was not renewed in time"
    assert [d.phase for d in told] == [Phase.WAITING]


def test_quiet_time_after_anothers_lease_ends_by_itself() -> None:
    clock = Clock()
    state, _ = trading(clock)
    state.set_lease(replace(WRITER, quiet_until=NOW + 5))
    seen = [state.phase]
    clock.now = NOW + 5
    assert [*seen, state.phase] == [Phase.WAITING, Phase.TRADING]


def test_the_first_loss_of_the_disk_stays() -> None:
    state, _ = trading(Clock())
    state.fail_storage(BaseExceptionGroup("x", [ExceptionGroup("y", [OSError("full")])]))
    state.fail_storage(OSError("later"))
    state.set_venue("a", reconciled=True)
    assert state.refusal == "storage failed: full"


FACT_CHANGES = st.sampled_from(
    [
        lambda s: s.set_kill_switch("smoke"),
        lambda s: s.set_kill_switch(None),
        lambda s: s.set_directive(HALT),
        lambda s: s.set_directive(REDUCE),
        lambda s: s.set_directive(Directive()),
        lambda s: s.set_guard(halt="guard"),
        lambda s: s.set_guard(reduce="guard"),
        lambda s: s.set_guard(),
        lambda s: s.set_soft_loss("loss"),
        lambda s: s.set_soft_loss(""),
        lambda s: s.set_venue("a", reconciled=False),
        lambda s: s.set_venue("a", reconciled=True),
        lambda s: s.set_venue("b", reconciled=False),
        lambda s: s.set_venue("b", reconciled=True),
        lambda s: s.set_lease(WRITER),
        lambda s: s.set_lease(Candidate("me", 1)),
        lambda s: s.set_drained(True),
        lambda s: s.fail_storage(OSError("full")),
        lambda s: s.set_stopping(),
    ]
)


@given(st.lists(st.tuples(FACT_CHANGES, st.floats(0, 4)), max_size=30))
def test_whatever_the_facts_the_decision_is_the_pure_one(
    story: list[tuple[object, float]],
) -> None:
    """And the subscribers' last word is the decision in force."""
    clock = Clock()
    state, told = trading(clock)
    before = state.decision
    for change, seconds in story:
        change(state)  # type: ignore[operator]
        clock.now += seconds
        pure = decide(state.facts, clock.now)
        assert (state.phase, state.decision.why) == (pure.phase, pure.why)
        last = told[-1] if told else before
        assert (last.phase, last.why) == (state.phase, state.decision.why)


# -- the kill switch -------------------------------------------------------------------------------


def test_the_latch_is_on_disk_before_anybody_is_notified(tmp_path: Path) -> None:
    state, _ = trading(Clock())
    latch = KillLatch(tmp_path, state, clock=lambda: 1.0)
    latch.open()
    seen: list[tuple[bool, bool]] = []

    def look(*_: object) -> None:
        seen.append((KillSwitch(tmp_path, clock=lambda: 1.0).engaged, state.refusal is not None))

    state.on_change.connect(look)
    latch.on_engaged.connect(look)
    latch.engage("smoke")
    latch.engage("again")
    assert seen == [(True, True)] * 2
    assert state.refusal == "kill switch: smoke"


def test_a_disk_that_refuses_the_latch_stops_trading_all_the_same(tmp_path: Path) -> None:
    def refuse(step: str) -> None:
        if step == "latch.fsync":
            raise DurabilityLost("fsync failed")

    state, _ = trading(Clock())
    latch = KillLatch(tmp_path, state, clock=lambda: 1.0, step=refuse)
    latch.open()
    heard: list[str] = []
    latch.on_engaged.connect(heard.append)
    latch.engage("smoke")
    assert (heard, latch.engaged) == (["smoke"], True)
    assert state.facts.storage_failure
    assert state.refusal


# -- the order path --------------------------------------------------------------------------------


def _send() -> list[ast.stmt]:
    path = Path(tradepulse_runner.__file__).parent / "live" / "submission.py"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.AsyncFunctionDef) and node.name == "_send":
            return node.body
    raise AssertionError("Submitter._send is gone: prove the order of intent, gate, request anew")


def _awaits(node: ast.AST) -> list[str]:
    return [ast.unparse(n.value) for n in ast.walk(node) if isinstance(n, ast.Await)]


def test_the_intent_is_on_disk_and_nothing_is_awaited_between_the_last_gate_and_the_request() -> (
    None
):
    body = _send()
    text = [ast.unparse(stmt) for stmt in body]
    intent = next(n for n, t in enumerate(text) if "oms.intend(" in t)
    gate = next(n for n, t in enumerate(text) if "_stopped_meanwhile(" in t)
    request = next(n for n, t in enumerate(text) if "place_order(" in t)
    assert intent < gate < request
    assert _awaits(body[intent]) == ["session.oms.intend(client_id)"]
    assert not any(_awaits(stmt) for stmt in body[gate:request])
    first = _awaits(body[request])[0]
    assert first == "session.ask(session.connector.place_order(order, client_id))"
