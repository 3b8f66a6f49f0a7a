"""One writer: real processes, the real API server with its RBAC, and a network that is cut.

The venue's own log of requests is the judge: after the first order of a new epoch, not one of an
older epoch may have reached it.
"""

from __future__ import annotations

import asyncio
import signal
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.support.e2e import scenario
from tests.support.e2e.client import Cluster, Manifest, wait_for
from tests.support.runner.partitioned_link import PartitionedLink
from tests.support.runner.process import RunnerProcess
from tests.support.runner.writers import (
    Background,
    contender,
    ended,
    epochs,
    open_venue,
    stale,
    until_orders_of,
)
from tests.support.venues.binance import BinanceVenue
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.resources.runner import lease
from tradepulse_runner.lease.api import KubeLease
from tradepulse_runner.lease.writer import LeaseUnavailable

COORDINATION = "coordination.k8s.io/v1"
NAME = "contended"
LOST = 75


@dataclass
class Place:
    cluster: Cluster
    namespace: str
    background: Background
    venue: BinanceVenue
    credentials: Path
    folder: Path

    def runner(self, identity: str, address: str) -> RunnerProcess:
        wanted: dict[str, Any] = {
            "name": NAME,
            "namespace": self.namespace,
            "api_server": address,
            "credentials_dir": str(self.credentials),
            "duration": 8,
            "renew_deadline": 6,
            "retry": 0.5,
        }
        return contender(RunnerProcess(self.folder / identity), identity, self.venue, wanted)

    @property
    def lease(self) -> Manifest:
        found = self.cluster.get("Lease", NAME, self.namespace, COORDINATION)
        assert found is not None
        return found


def server(cluster: Cluster) -> tuple[str, bytes]:
    """Address and authority of the API server, from the kubeconfig."""
    (one,) = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"]
    found = one["cluster"]
    return found["server"], b64decode(found["certificate-authority-data"])


def children(namespace: str) -> list[Manifest]:
    """Lease, Role and RoleBinding as the operator makes them, for a runner that isn't there."""
    raw = scenario.runner(NAME, namespace)
    raw["metadata"]["uid"] = "none"
    owner = TradingRunner.model_validate(raw)
    made = [lease.lease(owner), lease.role(owner), lease.role_binding(owner)]
    for manifest in made:
        del manifest["metadata"]["ownerReferences"]  # or it would be collected
    return made


@pytest.fixture
def place(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Place]:
    account = {"metadata": {"name": NAME, "namespace": namespace}}
    cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", **account})
    for manifest in children(namespace):
        cluster.apply(manifest)
    request = {"spec": {"audiences": [], "expirationSeconds": 3600}}
    made = cluster.core.create_namespaced_service_account_token(NAME, namespace, request)
    (tmp_path / "token").write_text(made.status.token)
    (tmp_path / "ca.crt").write_bytes(server(cluster)[1])
    with Background() as background:
        venue = open_venue(background)
        yield Place(cluster, namespace, background, venue, tmp_path, tmp_path)
    cluster.delete("Lease", NAME, namespace, COORDINATION)


@pytest.mark.parametrize("fault", ["cut off", "stopped and continued"])
def test_no_order_of_a_stale_epoch(place: Place, fault: str) -> None:
    address, _ = server(place.cluster)
    parts = urlsplit(address)
    assert parts.hostname is not None
    link = place.background.open(PartitionedLink(parts.hostname, parts.port or 443))
    first = place.runner("first", f"https://127.0.0.1:{link.port}")
    second = place.runner("second", address)
    with ended(first, second):
        first.start()
        until_orders_of(place.venue, 1)
        second.start()
        second.until(lambda s: s["state"] == "WAITING", "waiting")
        # The operator's repair of the Lease takes nothing from its holder.
        place.cluster.apply(children(place.namespace)[0])
        assert place.lease["spec"]["holderIdentity"] == "first"
        assert first.process is not None
        if fault == "cut off":
            place.background.call(link.cut)
            assert first.process.wait(60) == LOST
            assert 2 not in epochs(place.venue)
            until_orders_of(place.venue, 2)
        else:
            first.process.send_signal(signal.SIGSTOP)
            until_orders_of(place.venue, 2)
            first.process.send_signal(signal.SIGCONT)
            assert first.process.wait(60) == LOST
        until_orders_of(place.venue, 2, epochs(place.venue).count(2) + 10)
        assert stale(place.venue) == []
        spec = place.lease["spec"]
        assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("second", 2)
        assert second.end() == 0
        assert place.lease["spec"]["holderIdentity"] == ""
        assert place.venue.exchange.open_orders("runner") == []


def test_the_pods_right_is_for_its_own_lease_alone(place: Place) -> None:
    address, _ = server(place.cluster)

    async def read(name: str) -> Manifest | None:
        store = KubeLease(address, f"{place.namespace}/{name}", place.credentials, timeout=10)
        try:
            return await store.read()
        finally:
            await store.close()

    found = asyncio.run(read(NAME))
    assert found is not None
    assert found["metadata"]["name"] == NAME
    with pytest.raises(LeaseUnavailable, match="403"):
        asyncio.run(read("another"))


def test_a_pod_holds_the_lease_and_hands_it_over(cluster: Cluster, namespace: str) -> None:
    name = "writer"
    scenario.start(cluster, name, namespace)

    def holds() -> tuple[str, int] | None:
        pod = cluster.get("Pod", f"{name}-0", namespace)
        found = cluster.get("Lease", name, namespace, COORDINATION)
        holder = ((found or {}).get("spec") or {}).get("holderIdentity")
        if pod is None or not holder or holder != pod["metadata"]["uid"]:
            return None
        return holder, found["spec"]["leaseTransitions"] if found else 0

    first = wait_for("the pod to hold its lease", holds)
    assert first[1] == 1
    cluster.delete("Pod", f"{name}-0", namespace)

    def handed_over() -> tuple[str, int] | None:
        now = holds()
        return now if now and now[0] != first[0] else None

    assert wait_for("the next pod to hold it", handed_over)[1] == 2
    runner = scenario.trading(cluster, name, namespace)
    wait_for(
        "the epoch in the status",
        lambda: (cluster.runner(name, namespace) or {})["status"].get("writerEpoch") == 2,
    )
    assert runner["status"]["activeRelease"]["image"] == scenario.GOOD
