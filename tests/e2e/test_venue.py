"""In the cluster, by the venues' own protocols: traded, killed, keys rotated, released, deleted."""

from __future__ import annotations

import base64
import json
import os
import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.support.e2e import environment, scenario
from tests.support.e2e.client import API_VERSION, Cluster, Manifest, wait_for
from tests.support.e2e.venue_relay import KINDS, Beside, Credential, Kind, beside

RUNNER = "spot"
STATUS = (
    "import urllib.request as u; print(u.urlopen('http://localhost:8080/status').read().decode())"
)


def secret(namespace: str, kind: Kind, credential: Credential) -> Manifest:
    name = kind.connector.upper()
    values = {f"{name}_API_KEY": credential.key, f"{name}_API_SECRET": credential.secret}
    data = {name: base64.b64encode(text.encode()).decode() for name, text in values.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": kind.connector, "namespace": namespace},
        "data": data,
    }


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.connector)
def venue(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Beside]:
    with beside(request.param) as found:
        yield found


@pytest.fixture(scope="module")
def first(venue: Beside) -> Credential:
    """The credential that the runner starts with."""
    found = venue.kind.credential("first")
    venue.add(found)
    return found


@pytest.fixture(scope="module")
def namespace_with_runner(cluster: Cluster, venue: Beside, first: Credential) -> Iterator[str]:
    namespace, kind = f"e2e-{venue.kind.connector}-{uuid.uuid4().hex[:6]}", venue.kind
    cluster.namespace(namespace)
    cluster.apply(secret(namespace, kind, first))
    trades_at = {
        "name": kind.connector,
        "connector": kind.connector,
        "symbols": [kind.symbol],
        "credentialsSecret": kind.connector,
        "options": venue.options,
    }
    scenario.start(cluster, RUNNER, namespace, venues=[trades_at])
    yield namespace
    cluster.delete("Namespace", namespace, "")


def status(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """The process's own word."""
    return dict(json.loads(cluster.inside(f"{RUNNER}-0", namespace, STATUS)))


def more_orders(venue: Beside, than: int, by: int = 10) -> int:
    def look() -> int | None:
        found = len(venue.orders())
        return found if found >= than + by else None

    return wait_for(f"{by} more orders at the venue", look, seconds=90)


def agree(cluster: Cluster, namespace: str, venue: Beside) -> None:
    """Wait until the runner holds what the venue says it holds. It trades, so it's looked at until
    both were seen at one moment."""

    kind = venue.kind

    def look() -> bool:
        before = venue.venue_state()["balances"][kind.base]
        held = Decimal(status(cluster, namespace)["positions"][kind.connector][kind.symbol])
        after = venue.venue_state()["balances"][kind.base]
        return before == after and held == Decimal(after["free"]) + Decimal(after["locked"])

    assert wait_for("positions to agree", look, seconds=180)


def test_it_trades_and_agrees_with_the_venue(
    cluster: Cluster, namespace_with_runner: str, venue: Beside
) -> None:
    more_orders(venue, 0, 20)
    agree(cluster, namespace_with_runner, venue)


def test_killed_while_orders_fly_it_loses_and_doubles_none(
    cluster: Cluster, namespace_with_runner: str, venue: Beside
) -> None:
    for _ in range(3):
        count = more_orders(venue, len(venue.orders()))
        before = status(cluster, namespace_with_runner)["writer_epoch"]
        process = wait_for("its process", lambda: environment.runner_process(f"{RUNNER}-0"))
        os.kill(process, signal.SIGKILL)  # in mid-flight; the kubelet starts it again
        more_orders(venue, count)
        assert status(cluster, namespace_with_runner)["writer_epoch"] > before
    times = Counter(order["client_id"] for order in venue.orders())
    assert max(times.values()) == 1, "an id was used twice"
    agree(cluster, namespace_with_runner, venue)


def test_credentials_are_rotated_while_it_trades(
    cluster: Cluster, namespace_with_runner: str, venue: Beside, first: Credential
) -> None:
    second, name = venue.kind.credential("second"), venue.kind.connector
    venue.add(second)
    cluster.apply(secret(namespace_with_runner, venue.kind, second))

    def uses_second() -> bool:
        text = cluster.inside(
            f"{RUNNER}-0",
            namespace_with_runner,
            "import urllib.request as u;"
            "print(u.urlopen('http://localhost:9000/metrics').read().decode())",
        )
        return f'tradepulse_credentials_generation{{venue="{name}"}} 2.0' in text

    wait_for("the runner to have read the new key", uses_second, seconds=120)
    venue.revoke(first)
    more_orders(venue, len(venue.orders()))
    found = status(cluster, namespace_with_runner)
    assert not found["kill_switch"]["engaged"], found["kill_switch"]
    agree(cluster, namespace_with_runner, venue)


def test_a_release_is_moved_there_and_nothing_rests_meanwhile(
    cluster: Cluster, namespace_with_runner: str, venue: Beside
) -> None:
    name = scenario.release(cluster, RUNNER, namespace_with_runner, scenario.NEXT)
    scenario.reaches(cluster, name, namespace_with_runner, "BackingUp", "Switching", "Baking")
    scenario.reaches(cluster, name, namespace_with_runner, "Succeeded")
    agree(cluster, namespace_with_runner, venue)


def test_deleted_it_leaves_no_order_behind(
    cluster: Cluster, namespace_with_runner: str, venue: Beside
) -> None:
    cluster.delete("TradingRunner", RUNNER, namespace_with_runner, API_VERSION)

    def gone() -> bool:
        return cluster.get("Pod", f"{RUNNER}-0", namespace_with_runner) is None

    wait_for("the pod to be gone", gone, seconds=90)
    open_orders = venue.do(lambda it: it.exchange.open_orders("runner"))
    assert not open_orders
