"""Two whole processes and one lease; judged by which orders reached the venue."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.runner.lease_api import FakeLeaseApi
from tests.support.runner.partitioned_link import PartitionedLink
from tests.support.runner.process import RunnerProcess, eventually
from tests.support.runner.writers import (
    Background,
    contender,
    epochs,
    open_venue,
    stale,
    stale_accepted,
    until_orders_of,
)
from tests.support.venues.binance import BinanceVenue

Make = Callable[..., RunnerProcess]
LOST = 75
#: A lease that runs out while a test watches, and one that doesn't, however slow the machine is.
SHORT = {"duration": 4, "renew_deadline": 3, "retry": 0.3}
LONG = {"duration": 90, "renew_deadline": 60, "retry": 0.3}


@dataclass
class Place:
    background: Background
    venue: BinanceVenue
    api: FakeLeaseApi
    make: Make
    spans: dict[str, float]

    def lease(self, port: int = 0) -> dict[str, Any]:
        return {
            "name": "demo",
            "api_server": f"https://127.0.0.1:{port or self.api.port}",
            "credentials_dir": str(self.api.credentials),
            **self.spans,
        }

    def runner(self, identity: str, port: int = 0) -> RunnerProcess:
        return contender(self.make(), identity, self.venue, self.lease(port))

    def trading(self, identity: str, epoch: int, port: int = 0) -> RunnerProcess:
        runner = self.runner(identity, port).start()
        until_orders_of(self.venue, epoch)
        assert runner.status()["writer_epoch"] == epoch
        return runner

    def waiting(self, identity: str) -> RunnerProcess:
        runner = self.runner(identity).start()
        runner.until(lambda s: s["state"] == "WAITING", "waiting")
        return runner


@pytest.fixture
def place(make: Make) -> Iterator[Place]:
    with Background() as background:
        api = background.open(FakeLeaseApi())
        yield Place(background, open_venue(background), api, make, SHORT)


@pytest.fixture
def calm(place: Place) -> Place:
    place.spans = LONG
    return place


def test_whoever_waits_is_alive_and_not_ready_and_sends_nothing(calm: Place) -> None:
    first, second = calm.trading("a", 1), calm.waiting("b")
    assert second.get("/startupz")[0] == 200
    assert second.get("/healthz")[0] == 200
    assert second.get("/readyz")[0] == 503
    why = "WAITING for the writer lease: the writer lease is held by a"
    eventually(lambda: why in second.get("/readyz")[1])
    until_orders_of(calm.venue, 1, epochs(calm.venue).count(1) + 10)
    assert set(epochs(calm.venue)) == {1}
    # A clean end gives the lease back: the successor starts without waiting for it to run out.
    assert first.end() == 0
    assert calm.api.spec["holderIdentity"] in ("", "b")
    until_orders_of(calm.venue, 2)
    assert second.logged("writer_lease.taken")
    assert stale(calm.venue) == []
    assert second.end() == 0
    assert calm.api.spec["holderIdentity"] == ""
    assert calm.venue.exchange.open_orders("runner") == []


def test_a_holder_that_was_stopped_and_continued_sends_nothing_more(place: Place) -> None:
    first, second = place.trading("a", 1), place.waiting("b")
    assert first.process is not None
    first.process.send_signal(signal.SIGSTOP)
    until_orders_of(place.venue, 2)
    first.process.send_signal(signal.SIGCONT)
    assert first.process.wait(20) == LOST
    assert "another process may write now" in first.log.read_text()
    until_orders_of(place.venue, 2, epochs(place.venue).count(2) + 5)
    assert stale(place.venue) == []
    assert second.status()["state"] != "WAITING"
    # What was left behind belongs to the new writer, which cancels it at its end.
    assert second.end() == 0
    assert place.venue.exchange.open_orders("runner") == []


def test_a_holder_that_is_cut_off_stops_before_the_other_starts(place: Place) -> None:
    link = place.background.open(PartitionedLink("127.0.0.1", place.api.port))
    first, second = place.trading("a", 1, link.port), place.waiting("b")
    place.background.call(link.cut)
    assert first.process is not None
    assert first.process.wait(60) == LOST
    assert 2 not in epochs(place.venue)
    until_orders_of(place.venue, 2)
    assert stale(place.venue) == []
    # As the kubelet does: the same pod again. It waits for its turn, and gets it.
    place.background.call(link.mend)
    first.start()
    first.until(lambda s: s["state"] == "WAITING", "waiting")
    assert second.end() == 0
    until_orders_of(place.venue, 3)
    assert stale(place.venue) == []


def test_what_the_network_kept_back_is_refused_by_the_venue(place: Place) -> None:
    """No check of the sender can help here: the orders had left when the holder was stopped."""
    link = place.background.open(
        PartitionedLink("127.0.0.1", urlsplit(place.venue.rest_url).port or 0)
    )
    first = place.runner("a")
    direct = first.config["venues"][0]["options"]["rest_url"]
    first.config["venues"][0]["options"]["rest_url"] = f"http://127.0.0.1:{link.port}"
    first.start()
    until_orders_of(place.venue, 1)
    second = place.waiting("b")
    assert second.config["venues"][0]["options"]["rest_url"] == direct
    place.background.call(link.cut)
    heard = first.status()["heartbeat"]
    # A heartbeat that is a second younger: what left before the cut was answered long ago.
    first.until(lambda s: s["heartbeat"] > heard + 1 and _on_its_way(s), "an order in the link")
    assert first.process is not None
    first.process.send_signal(signal.SIGSTOP)
    until_orders_of(place.venue, 2)
    place.background.call(link.mend)
    eventually(lambda: stale(place.venue), what="an order that comes too late")
    first.process.send_signal(signal.SIGCONT)
    assert first.process.wait(60) == LOST
    until_orders_of(place.venue, 2, epochs(place.venue).count(2) + 5)
    assert stale_accepted(place.venue) == []


def _on_its_way(status: dict[str, Any]) -> bool:
    orders = status["orders"]
    return bool(orders["submitted"] > orders["ok"] + orders["error"])


def test_a_container_that_is_killed_and_restarted_goes_on_at_once(calm: Place) -> None:
    first = calm.trading("a", 1)
    first.kill()
    first.start()
    until_orders_of(calm.venue, 2)
    assert not first.logged("writer_lease.waiting")
    assert stale(calm.venue) == []


def test_sigterm_ends_one_that_waits(calm: Place) -> None:
    calm.trading("a", 1)
    second = calm.waiting("b")
    assert second.end() == 0
    assert calm.api.spec["holderIdentity"] == "a"
    assert not list(second.state_dir.glob("epoch.json"))


def test_without_an_identity_it_does_not_start(place: Place) -> None:
    runner = place.runner("")
    runner.start(wait=False)
    assert runner.process is not None
    assert runner.process.wait(60) == 1
    assert "POD_UID is not set" in eventually(runner.log.read_text)
