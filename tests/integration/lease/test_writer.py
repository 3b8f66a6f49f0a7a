"""The writer lease over HTTPS, against a fake of the Kubernetes API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.runner.lease_api import FakeLeaseApi
from tests.support.runner.runner_fixtures import until
from tradepulse_runner.config.runner import LeaseConfig
from tradepulse_runner.errors import ConfigError
from tradepulse_runner.lease.api import KubeLease, address_of, build_writer
from tradepulse_runner.lease.decisions import Times
from tradepulse_runner.lease.writer import LeaseConflict, LeaseLost, LeaseUnavailable, WriterLease

SHORT = Times(2.0, 1.2, 0.05)
#: For what must not be lost, however slow the machine is.
LONG = Times(90.0, 60.0, 0.05)
Made = Callable[..., WriterLease]


@pytest.fixture
async def api() -> AsyncIterator[FakeLeaseApi]:
    async with FakeLeaseApi() as found:
        yield found


def store(api: FakeLeaseApi, *, timeout: float = 1.0) -> KubeLease:
    address = f"https://127.0.0.1:{api.port}"
    return KubeLease(address, "default/demo", api.credentials, timeout=timeout)


@pytest.fixture
async def make(api: FakeLeaseApi) -> AsyncIterator[Made]:
    made: list[WriterLease] = []

    def build(identity: str = "a", times: Times = SHORT) -> WriterLease:
        made.append(WriterLease(store(api), identity, times))
        return made[-1]

    yield build
    for one in made:
        await one.close()


async def test_it_is_taken_published_and_given_back(api: FakeLeaseApi, make: Made) -> None:
    first, second = make("a", LONG), make("b", LONG)
    assert "no writer lease" in first.refusal()
    assert await first.acquire(0, fence=60.0) == 1
    assert first.refusal() == ""
    assert (api.spec["holderIdentity"], api.spec["leaseTransitions"]) == ("a", 1)
    assert api.lease is not None
    assert api.lease["metadata"]["labels"] == {"by": "operator"}
    await first.release()
    assert first.refusal()
    assert api.spec["holderIdentity"] == ""
    assert await second.acquire(7, fence=60.0) == 8
    assert api.spec["leaseTransitions"] == 8


async def test_the_second_waits_until_the_first_is_silent_and_its_requests_ran_out(
    make: Made,
) -> None:
    first, second = make("a"), make("b")
    await first.acquire(0, fence=0.0)
    waiting = asyncio.create_task(second.acquire(0, fence=0.4))
    await until(lambda: "held by a" in second.refusal())
    await until(lambda: second.held)
    assert first.refusal()
    assert "still arrive" in second.refusal()
    assert await waiting == 2
    assert second.refusal() == ""
    with pytest.raises(LeaseLost, match=r"taken by b|not renewed"):
        await first.keep()


async def test_it_is_kept_through_hiccups_lost_answers_and_the_operators_writes(
    api: FakeLeaseApi, make: Made
) -> None:
    held = make(times=LONG)
    await held.acquire(0, fence=0.0)
    keeping = asyncio.create_task(held.keep())
    renewed = api.spec["renewTime"]
    api.relabel()
    await until(lambda: api.spec["renewTime"] != renewed)
    api.lose_answers = 2
    await until(lambda: api.lose_answers == 0)
    api.refuse = 503
    count = len(api.seen)
    await until(lambda: len(api.seen) >= count + 2)
    api.refuse, renewed = 0, api.spec["renewTime"]
    await until(lambda: api.spec["renewTime"] != renewed)
    assert held.refusal() == ""
    assert not keeping.done()
    keeping.cancel()


@pytest.mark.parametrize("fault", ["forbidden", "gone", "made again"])
async def test_it_is_lost_when_it_cannot_be_kept(api: FakeLeaseApi, make: Made, fault: str) -> None:
    held = make()
    await held.acquire(0, fence=0.0)
    if fault == "forbidden":
        api.refuse = 403
    elif fault == "gone":
        api.lease = None
    else:
        api.make()
    with pytest.raises(LeaseLost, match="restarted process waits"):
        await held.keep()
    assert held.refusal()
    await held.release()
    assert api.spec.get("holderIdentity") != ""


async def test_one_that_was_deleted_is_not_taken_at_once_by_who_traded_before(
    api: FakeLeaseApi, make: Made
) -> None:
    first, second = make("a"), make("b")
    await first.acquire(3, fence=0.0)  # which has to wait, too: it traded before
    api.make()
    waiting = asyncio.create_task(second.acquire(3, fence=0.0))
    await until(lambda: not first.held or bool(first.refusal()))
    assert not second.held
    assert await waiting > 1000


async def test_our_own_earlier_life_is_continued_at_once(api: FakeLeaseApi, make: Made) -> None:
    assert await make("a", LONG).acquire(0, fence=60.0) == 1
    assert await make("a", LONG).acquire(1, fence=60.0) == 2


async def test_a_token_that_was_replaced_is_used_for_the_next_request(
    api: FakeLeaseApi, make: Made
) -> None:
    held = make(times=LONG)
    await held.acquire(0, fence=0.0)
    api.token = "second"
    (api.credentials / "token").write_text("second\n")
    keeping = asyncio.create_task(held.keep())
    await until(lambda: "PUT second" in api.seen)
    keeping.cancel()


async def test_errors_name_the_lease_and_the_remedy_and_no_token(
    api: FakeLeaseApi, tmp_path: Path
) -> None:
    kept = store(api)
    api.refuse = 403
    with pytest.raises(LeaseUnavailable, match=r"lease default/demo.*403.*get and update") as told:
        await kept.read()
    assert "first" not in str(told.value)
    api.refuse, api.token = 0, "another"
    with pytest.raises(LeaseUnavailable, match="401"):
        await kept.read()
    await kept.close()
    nowhere = KubeLease(f"https://127.0.0.1:{api.port}", "default/demo", tmp_path, timeout=1.0)
    with pytest.raises(LeaseUnavailable, match=r"token and ca\.crt"):
        await nowhere.read()
    await nowhere.close()


async def test_of_two_writes_based_on_the_same_look_one_wins(api: FakeLeaseApi) -> None:
    kept = store(api)
    found = await kept.read()
    assert found is not None
    await kept.replace({**found, "spec": {"holderIdentity": "a"}})
    with pytest.raises(LeaseConflict):
        await kept.replace({**found, "spec": {"holderIdentity": "b"}})
    api.lease = None
    assert await kept.read() is None
    with pytest.raises(LeaseConflict):
        await kept.replace(found)
    await kept.close()


def test_an_api_server_that_is_not_the_clusters_is_not_believed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pattern"):
        LeaseConfig(name="demo", api_server="http://127.0.0.1:8001")


def test_where_and_who() -> None:
    config = LeaseConfig(name="demo")
    pod = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    assert address_of(config, pod) == "https://10.96.0.1:443"
    assert (
        address_of(config, {**pod, "KUBERNETES_SERVICE_HOST": "fd00::1"}) == "https://[fd00::1]:443"
    )
    assert build_writer(None, {}) is None
    with pytest.raises(ConfigError, match="POD_UID"):
        build_writer(config, pod)
    with pytest.raises(ConfigError, match="KUBERNETES_SERVICE_HOST"):
        build_writer(config, {"POD_UID": "u"})


@pytest.mark.parametrize(
    "spans",
    [
        {"renew_deadline": 15},
        {"retry": 10},
        {"duration": 9},
    ],
)
def test_a_holder_must_stop_before_another_may_start(spans: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a holder has to stop"):
        LeaseConfig.model_validate({"name": "demo", **spans})
