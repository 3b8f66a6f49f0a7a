"""A running loop whose credentials are replaced, spoiled, and refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.support.runner.credentials_fixtures import NAMES, Keys, finish, pair, swapped
from tests.support.runner.runner_fixtures import Venue, make_loop, paper, resting, trading, until
from tradepulse_runner.credentials.store import PATIENCE, CredentialStore
from tradepulse_runner.credentials.watch import CredentialWatch
from tradepulse_runner.domain import OrderStatus
from tradepulse_runner.errors import CredentialsRefused
from tradepulse_runner.live.loop import LiveExecutionLoop


class Guarded(Venue):
    """A venue that accepts the keys in ``accepted`` only, and is asked as a connector asks."""

    def __init__(self, state_dir: Path, store: CredentialStore) -> None:
        super().__init__(paper(state_dir))
        self.store = store
        self.accepted: set[Keys] = set()
        self.before_any = self._authenticate

    async def _authenticate(self) -> None:
        while True:
            used = self.store.current
            if (used.key, used.secret) in self.accepted:
                return
            if not self.store.refused(used):
                raise CredentialsRefused(f"paper: key {used.fingerprint} is not known")


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    finish(swapped(tmp_path / "mount", pair(1)))
    return tmp_path / "mount"


@pytest.fixture
def venue(tmp_path: Path, mount: Path) -> Guarded:
    found = Guarded(tmp_path, CredentialStore.open("binance", mount, {}))
    found.accepted = {pair(1)}
    return found


@pytest.fixture
async def loop(tmp_path: Path, venue: Guarded) -> AsyncIterator[LiveExecutionLoop]:
    made = make_loop(tmp_path, venue, credentials={"paper": venue.store})
    await made.start()
    await trading(made)
    yield made
    await made.shutdown()


async def rests(loop: LiveExecutionLoop, order: str) -> None:
    orders = loop.sessions["paper"].oms.state.orders
    await until(lambda: orders[order].status.working)


def metric(loop: LiveExecutionLoop, name: str) -> float:
    found = loop.metrics.registry.get_sample_value(name, {"venue": "paper"})
    assert found is not None, name
    return found


async def test_new_files_are_used_without_anybody_asking(
    loop: LiveExecutionLoop, venue: Guarded, mount: Path
) -> None:
    assert metric(loop, "tradepulse_credentials_generation") == 1
    venue.accepted = {pair(1), pair(2)}
    finish(swapped(mount, pair(2)))
    await until(lambda: metric(loop, "tradepulse_credentials_generation") == 2)
    venue.accepted = {pair(2)}
    order = loop.submit_order("paper", resting(loop))
    await rests(loop, order)
    assert not loop.kill_switch[0]


async def test_a_key_that_is_revoked_at_the_moment_of_the_swap_costs_nothing(
    loop: LiveExecutionLoop, venue: Guarded, mount: Path
) -> None:
    for number in range(2, 30):
        finish(swapped(mount, pair(number)))
        venue.accepted = {pair(number)}
        order = loop.submit_order("paper", resting(loop))
        await rests(loop, order)
        await loop.cancel_order(order, "paper")
    assert not loop.kill_switch[0]


async def test_the_newest_pair_refused_latches_and_names_the_venue_not_the_key(
    loop: LiveExecutionLoop, venue: Guarded, mount: Path, caplog: pytest.LogCaptureFixture
) -> None:
    finish(swapped(mount, pair(666)))
    await until(lambda: loop.kill_switch[0])
    reason = loop.kill_switch[1]
    assert reason.startswith("paper refused the newest credentials")
    assert venue.store.current.fingerprint in reason
    assert "generation 2" in reason
    assert metric(loop, "tradepulse_credentials_refused_total") > 0
    shown = reason + "".join(str(record.__dict__) for record in caplog.records)
    assert not [half for half in (*pair(1), *pair(666)) if half in shown]
    finish(swapped(mount, pair(3)))
    venue.accepted = {pair(3)}
    await until(lambda: loop.sessions["paper"].reconciled)
    assert loop.kill_switch[0], "only a person resets it"


async def test_refused_while_the_files_are_half_replaced_rejects_but_does_not_latch(
    loop: LiveExecutionLoop, venue: Guarded, mount: Path
) -> None:
    steps = swapped(mount, pair(2))
    (mount / NAMES[1]).unlink()
    venue.accepted = {pair(2)}
    order = loop.submit_order("paper", resting(loop))
    state = loop.sessions["paper"].oms.state
    await until(lambda: state.orders[order].status in (OrderStatus.REJECTED, OrderStatus.EXPIRED))
    await until(lambda: not loop.sessions["paper"].reconciled)
    finish(steps)
    await trading(loop)
    assert not loop.kill_switch[0]


async def test_a_refusal_of_a_request_that_is_older_than_the_newest_pair_does_not_latch(
    loop: LiveExecutionLoop, venue: Guarded, mount: Path
) -> None:
    sent, answer = asyncio.Event(), asyncio.Event()

    async def late() -> None:
        sent.set()
        await answer.wait()
        raise CredentialsRefused("paper: whoever signed this is not known any more")

    asked = asyncio.create_task(loop.sessions["paper"].ask(late()))
    await sent.wait()
    venue.accepted = {pair(1), pair(2)}
    finish(swapped(mount, pair(2)))
    await until(lambda: metric(loop, "tradepulse_credentials_generation") == 2)
    answer.set()
    with pytest.raises(CredentialsRefused):
        await asked
    assert not loop.kill_switch[0]


async def test_unusable_files_are_reported_and_trading_goes_on(
    loop: LiveExecutionLoop,
    venue: Guarded,
    mount: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    behind = 0.0
    real = venue.store._timer
    venue.store._timer = lambda: real() + behind
    (mount / NAMES[0]).unlink()
    await until(lambda: metric(loop, "tradepulse_credentials_reload_failures_total") == 1)
    assert metric(loop, "tradepulse_credentials_stale") == 0
    behind = PATIENCE
    await until(lambda: metric(loop, "tradepulse_credentials_stale") == 1)
    assert [r.why for r in caplog.records if r.message == "credentials.stale"]  # type: ignore[attr-defined]
    order = loop.submit_order("paper", resting(loop))
    await rests(loop, order)
    venue.accepted = set()
    await until(lambda: loop.kill_switch[0])
    venue.accepted = {pair(1)}  # or the shutdown would try to cancel for its whole patience


def test_a_venue_without_a_store_has_its_series_and_a_verdict() -> None:
    registry = CollectorRegistry()
    watch = CredentialWatch({}, registry, venues=["paper"], interval=1)
    for name in ("generation", "stale", "reload_failures_total", "loaded_timestamp_seconds"):
        assert registry.get_sample_value(f"tradepulse_credentials_{name}", {"venue": "paper"}) == 0
    assert watch.verdict("paper", 0) == "paper refused the credentials"
