"""The lease: two never act at once, whatever their clocks and the API server do."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from tests.support.fakes.clock import FakeClock
from tests.support.fakes.kube import FakeKube, failing
from tradepulse_operator.clients.kubernetes import kinds
from tradepulse_operator.clients.kubernetes.client import Kube
from tradepulse_operator.clients.kubernetes.errors import Unavailable
from tradepulse_operator.manager.leader import Lease, LeaseLost, Times

REF = kinds.ref(kinds.LEASE, "ns", "tradepulse-operator")
DOWN = Unavailable(0, "NoAnswer", "down")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """A clock that sleeping moves."""
    found = FakeClock()
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        found.at += seconds
        await real(0)

    monkeypatch.setattr("tradepulse_operator.manager.leader.asyncio.sleep", sleep)
    return found


def lease(kube: FakeKube, clock: FakeClock, who: str = "a") -> Lease:
    return Lease(cast(Kube, kube), clock, "ns", who, times=Times(15, 10, 2))


def spec(kube: FakeKube) -> dict[str, Any]:
    return dict(kube.objects[REF]["spec"])


async def test_the_first_takes_it_and_the_second_waits_until_it_stands_still(
    clock: FakeClock,
) -> None:
    kube = FakeKube()
    first, second = lease(kube, clock), lease(kube, clock, "b")
    await first.acquire()
    assert first.leading
    began = clock.at
    await second.acquire()
    assert clock.at - began >= 15
    assert not first.leading
    assert second.leading
    assert (spec(kube)["holderIdentity"], second.epoch) == ("b", 1)


async def test_a_released_lease_is_taken_at_once(clock: FakeClock) -> None:
    kube = FakeKube()
    first, second = lease(kube, clock), lease(kube, clock, "b")
    await first.acquire()
    await first.release()
    assert not first.leading
    began = clock.at
    await second.acquire()
    assert clock.at == began


async def test_the_clock_of_the_other_node_does_not_matter(clock: FakeClock) -> None:
    kube = FakeKube()
    await lease(kube, clock).acquire()
    kube.objects[REF]["spec"]["renewTime"] = "2001-01-01T00:00:00.000000Z"
    second = lease(kube, clock, "b")
    assert not await second._try()


async def test_it_is_lost_before_others_may_take_it(clock: FakeClock) -> None:
    kube = FakeKube()
    held = lease(kube, clock)
    await held.acquire()
    began = clock.at
    kube.fault = failing(DOWN, "replace", "get")
    with pytest.raises(LeaseLost):
        await held.keep()
    assert 10 <= clock.at - began < 15
    assert not held.leading


async def test_a_renewal_counts_from_when_it_was_sent(clock: FakeClock) -> None:
    kube = FakeKube()
    held = lease(kube, clock)
    await held.acquire()

    def slow(verb: str, _: object) -> None:
        if verb == "replace":
            clock.at += 9

    kube.fault = slow
    await held._renew()
    clock.at += 1.1
    assert not held.leading


async def test_a_hiccup_is_survived(clock: FakeClock) -> None:
    kube = FakeKube()
    held = lease(kube, clock)
    await held.acquire()
    calls = 0

    def fault(verb: str, _: object) -> None:
        nonlocal calls
        if verb == "replace":
            calls += 1
            if calls <= 3:
                raise DOWN
            if calls > 6:
                raise asyncio.CancelledError

    kube.fault = fault
    with pytest.raises(asyncio.CancelledError):
        await held.keep()
    assert held.leading


async def test_an_answer_that_got_lost_is_not_a_loss(clock: FakeClock) -> None:
    kube = FakeKube()
    held = lease(kube, clock)
    await held.acquire()
    kube.put(kube.objects[REF])
    await held._renew()
    clock.at += 2
    await held._renew()
    assert held.leading


async def test_somebody_else_in_it_ends_it_at_once(clock: FakeClock) -> None:
    kube = FakeKube()
    held = lease(kube, clock)
    await held.acquire()
    kube.put({**kube.objects[REF], "spec": {**spec(kube), "holderIdentity": "b"}})
    with pytest.raises(LeaseLost):
        await held.keep()


async def test_of_two_at_once_one_wins(clock: FakeClock) -> None:
    kube = FakeKube()
    first, second = lease(kube, clock), lease(kube, clock, "b")
    await asyncio.gather(first._try(), second._try(), return_exceptions=True)
    assert first.leading + second.leading == 1


async def test_a_failed_release_is_no_failure(clock: FakeClock) -> None:
    kube = FakeKube()
    held = lease(kube, clock)
    await held.acquire()
    kube.fault = failing(DOWN, "replace")
    await held.release()
    assert not held.leading
