"""The queue's rules, against a model: nothing is lost, nothing runs twice, nothing starves."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tradepulse_operator.manager.schedule import Limits, Schedule

KEYS = st.sampled_from("abc")


def schedule(**limits: float) -> Schedule[str]:
    found = {"rate": 1000.0, "burst": 1000, "base": 1.0, "cap": 30.0, "streak": 5, **limits}
    return Schedule(Limits(**found), random.Random(0))  # type: ignore[arg-type]


def test_events_of_one_key_fold_while_it_waits() -> None:
    queue = schedule()
    queue.add("a", 0)
    queue.add("a", 0)
    queue.add("b", 0)
    assert [queue.take(0), queue.take(0), queue.take(0)] == ["a", "b", None]


def test_an_event_during_work_makes_one_more_run() -> None:
    queue = schedule()
    queue.add("a", 0)
    queue.take(0)
    queue.add("a", 1)
    assert queue.take(1) is None
    queue.done("a", 2, 60)
    assert queue.take(2) == "a"
    queue.done("a", 3, 60)
    assert queue.take(62.9) is None
    assert queue.take(63) == "a"


def test_an_event_comes_before_the_next_planned_look_and_replaces_it() -> None:
    queue = schedule()
    queue.later("a", 0, 50)
    queue.add("a", 1)
    assert queue.take(1) == "a"
    queue.done("a", 1, None)
    assert queue.next(1) is None
    assert queue.take(100) is None


def test_failures_wait_twice_as_long_each_time_and_events_do_not_shorten_it() -> None:
    queue = schedule()
    queue.add("a", 0)
    now, waits = 0.0, []
    for _ in range(8):
        assert queue.take(now) == "a"
        queue.failed("a", now)
        queue.add("a", now)
        assert queue.take(now) is None
        wait = queue.next(now)
        assert wait is not None
        waits.append(wait)
        now += wait
    longest = [1, 2, 4, 8, 16, 30, 30, 30]
    assert all(top / 2 <= wait <= top for wait, top in zip(waits, longest, strict=True))


def test_success_forgets_the_failures() -> None:
    queue = schedule()
    queue.add("a", 0)
    for now in (0, 100, 200):
        assert queue.take(now) == "a"
        queue.failed("a", now)
    assert queue.take(300) == "a"
    queue.done("a", 300, None)
    queue.add("a", 300)
    assert queue.take(300) == "a"
    queue.failed("a", 300)
    wait = queue.next(300)
    assert wait is not None
    assert wait <= 1


def test_asking_again_and_again_without_a_wait_is_held_back() -> None:
    queue = schedule()
    queue.add("a", 0)
    for _ in range(5):
        assert queue.take(0) == "a"
        queue.done("a", 0, 0)
    assert queue.take(0) is None
    wait = queue.next(0)
    assert wait is not None
    assert 0.5 <= wait <= 1


def test_asking_again_goes_behind_the_others() -> None:
    queue = schedule()
    queue.add("a", 0)
    queue.add("b", 0)
    assert queue.take(0) == "a"
    queue.done("a", 0, 0)
    assert [queue.take(0), queue.take(0)] == ["b", "a"]


def test_the_rate_bounds_all_keys_together() -> None:
    queue: Schedule[int] = Schedule(Limits(rate=10, burst=5), random.Random(0))
    for key in range(100):
        queue.add(key, 0)
    taken, now = 0, 0.0
    while now < 2:
        while queue.take(now) is not None:
            taken += 1
        now += queue.next(now) or 0.01
    assert 24 <= taken <= 26
    assert queue.oldest(now) >= 2


class Machine(RuleBasedStateMachine):
    """Random use, with the model: what is owed a look, and what runs."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = schedule(streak=1_000_000)
        self.now = 0.0
        self.owed: set[str] = set()
        self.running: set[str] = set()

    @rule(key=KEYS)
    def event(self, key: str) -> None:
        self.queue.add(key, self.now)
        self.owed.add(key)

    @rule(key=KEYS, delay=st.floats(0, 100))
    def plan(self, key: str, delay: float) -> None:
        self.queue.later(key, self.now, delay)

    @rule(seconds=st.floats(0, 50))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        key = self.queue.take(self.now)
        if key is not None:
            assert key not in self.running
            self.running.add(key)
            self.owed.discard(key)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), again=st.sampled_from([None, 0.0, 5.0]))
    def done(self, data: st.DataObject, again: float | None) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        self.running.remove(key)
        self.queue.done(key, self.now, again)
        if again == 0:
            self.owed.add(key)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def failed(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        self.running.remove(key)
        self.queue.failed(key, self.now)
        self.owed.add(key)

    @invariant()
    def counts_what_runs(self) -> None:
        assert self.queue.running == len(self.running)

    @invariant()
    def whatever_is_owed_will_come(self) -> None:
        if self.owed - self.running:
            wait = self.queue.next(self.now)
            assert wait is not None
            assert wait <= 100

    def teardown(self) -> None:
        for key in sorted(self.running):
            self.queue.done(key, self.now, None)
        seen: set[str] = set()
        for _ in range(50):
            self.now += 101
            while (taken := self.queue.take(self.now)) is not None:
                seen.add(taken)
                self.queue.done(taken, self.now, None)
        assert self.owed <= seen
        assert self.queue.next(self.now) is None


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
