"""The Kubernetes port against the real API server: the guards hold, and errors have their types."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.e2e.client import Cluster
from tradepulse_operator.clients.kubernetes import kinds
from tradepulse_operator.clients.kubernetes.client import Kube
from tradepulse_operator.clients.kubernetes.config import connect
from tradepulse_operator.clients.kubernetes.errors import Conflict, Invalid, NotFound
from tradepulse_operator.clients.kubernetes.http import Transport
from tradepulse_operator.common.objects import Manifest, Ref


@pytest.fixture
async def kube(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kube]:
    """The port, connected as the tests' own user."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    connection = await connect()
    yield Kube(Transport(connection))
    await connection.close()


@pytest.fixture
def target(namespace: str, request: pytest.FixtureRequest) -> Ref:
    """A ConfigMap's reference of this test's own."""
    return kinds.ref(kinds.CONFIG_MAP, namespace, request.node.name.replace("_", "-")[:60])


def config_map(target: Ref, **data: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": target.name, "namespace": target.namespace, "labels": {"t": "1"}},
        "data": data,
    }


async def uid(kube: Kube, target: Ref) -> str:
    found = await kube.get(target)
    assert found
    return str(found["metadata"]["uid"])


async def test_apply_creates_then_changes_only_what_it_owns(kube: Kube, target: Ref) -> None:
    assert await kube.get(target) is None
    await kube.apply(config_map(target, a="1", b="2"))
    await kube.annotate(target, await uid(kube, target), {"someone": "else"})
    await kube.apply(config_map(target, a="3"))
    found = await kube.get(target)
    assert found
    assert found["data"] == {"a": "3"}
    assert found["metadata"]["annotations"] == {"someone": "else"}


async def test_create_of_a_taken_name_is_a_conflict(kube: Kube, target: Ref) -> None:
    await kube.create(config_map(target))
    with pytest.raises(Conflict):
        await kube.create(config_map(target))


async def test_replace_with_an_old_version_is_a_conflict(kube: Kube, target: Ref) -> None:
    old = await kube.apply(config_map(target, a="1"))
    await kube.apply(config_map(target, a="2"))
    with pytest.raises(Conflict):
        await kube.replace({**old, "data": {"a": "stale"}})


async def test_annotations_are_set_and_removed_on_that_very_object(kube: Kube, target: Ref) -> None:
    await kube.apply(config_map(target))
    mine = await uid(kube, target)
    await kube.annotate(target, mine, {"x": "1", "y": "2"})
    await kube.annotate(target, mine, {"x": None})
    found = await kube.get(target)
    assert found
    assert found["metadata"]["annotations"] == {"y": "2"}


async def test_a_namesake_is_neither_annotated_nor_deleted(kube: Kube, target: Ref) -> None:
    await kube.apply(config_map(target))
    gone = await uid(kube, target)
    await kube.delete(target, gone)
    await kube.apply(config_map(target))
    with pytest.raises(Conflict):
        await kube.annotate(target, gone, {"x": "1"})
    with pytest.raises(Conflict):
        await kube.delete(target, gone)
    assert await uid(kube, target) != gone


async def test_deleting_what_is_gone_is_fine_and_patching_it_is_not(
    kube: Kube, target: Ref
) -> None:
    await kube.delete(target, "00000000-0000-0000-0000-000000000000")
    with pytest.raises(NotFound):
        await kube.annotate(target, "00000000-0000-0000-0000-000000000000", {"x": "1"})


async def test_finalizers_are_guarded_by_the_version(kube: Kube, target: Ref) -> None:
    old = await kube.apply(config_map(target))
    version = old["metadata"]["resourceVersion"]
    await kube.set_finalizers(target, version, ("tradepulse.io/test",))
    with pytest.raises(Conflict):
        await kube.set_finalizers(target, version, ())
    found = await kube.get(target)
    assert found
    assert found["metadata"]["finalizers"] == ["tradepulse.io/test"]
    await kube.set_finalizers(target, found["metadata"]["resourceVersion"], ())


async def test_what_the_schema_refuses_is_invalid(kube: Kube, target: Ref) -> None:
    with pytest.raises(Invalid):
        await kube.apply({**config_map(target), "data": {"not a key!": "1"}})


async def test_lists_are_whole_and_name_their_kind(
    kube: Kube, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradepulse_operator.clients.kubernetes.client._PAGE", 2)
    for number in range(5):
        await kube.apply(config_map(kinds.ref(kinds.CONFIG_MAP, namespace, f"page-{number}")))
    found = await kube.list(kinds.CONFIG_MAP, namespace, labels="t=1")
    assert {f"page-{number}" for number in range(5)} <= {m["metadata"]["name"] for m in found}
    assert {(m["apiVersion"], m["kind"]) for m in found} == {kinds.CONFIG_MAP}
    light = await kube.list(kinds.CONFIG_MAP, namespace, labels="t=1", metadata_only=True)
    assert len(light) == len(found)
    assert all("data" not in item and item["metadata"]["resourceVersion"] for item in light)


async def test_metadata_comes_alone_when_that_is_asked_for(kube: Kube, target: Ref) -> None:
    await kube.apply(config_map(target, a="1"))
    found = await kube.get(target, metadata_only=True)
    assert found
    assert "data" not in found
    assert found["metadata"]["name"] == target.name


async def test_a_kind_without_its_definition_is_not_served(kube: Kube) -> None:
    assert await kube.serves(kinds.CONFIG_MAP)
    assert not await kube.serves(("absent.example.com/v1", "Absent"))


async def test_status_is_replaced_alone_and_only_from_the_seen_version(
    kube: Kube, namespace: str
) -> None:
    target = kinds.ref(kinds.CUTOVER, namespace, "status-test")
    await kube.apply(
        {
            "apiVersion": target.api_version,
            "kind": target.kind,
            "metadata": {"name": target.name, "namespace": namespace},
            "spec": {"runner": "nobody"},
        }
    )
    written = {"phase": "Failed", "message": "test"}
    version = await replaced(kube, target, written)
    with pytest.raises(Conflict):
        await kube.replace_status(target, version, {"phase": "Failed", "message": "stale"})
    found = await kube.get(target)
    assert found
    assert found["spec"]["runner"] == "nobody"
    assert found["status"]["message"] == "test"
    await kube.delete(target, found["metadata"]["uid"])


async def replaced(kube: Kube, target: Ref, status: Manifest) -> str:
    """Write the status, again while the operator (it sets Pending) is faster; returns the version
    from before."""
    while True:
        found = await kube.get(target)
        assert found
        version = str(found["metadata"]["resourceVersion"])
        try:
            await kube.replace_status(target, version, status)
        except Conflict:
            continue
        return version
