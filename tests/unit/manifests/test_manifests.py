"""What is installed is whole, restricted, and agrees with what the code believes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.images import catalog
from tests.support.images.base import PythonBase
from tests.support.manifests.rendering import ROOT, Manifest, find, load
from tradepulse_operator.common.names import (
    APP_REHEARSAL,
    APP_RUNNER,
    HTTP_PORT,
    LABEL_APP,
    MANAGER,
)

TREES = ("manifests", "tests/support/monitoring/files")
#: The Pod Security standard "restricted", and a root file system that cannot be written.
CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@pytest.fixture(scope="module")
def objects() -> list[Manifest]:
    return load(ROOT / "manifests")


@pytest.fixture(scope="module")
def pod(objects: list[Manifest]) -> dict[str, Any]:
    spec: dict[str, Any] = find(objects, "Deployment", MANAGER)["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("tree", TREES)
def test_namespaces_enforce_the_restricted_standard(tree: str) -> None:
    namespaces = [one for one in load(ROOT / tree) if one["kind"] == "Namespace"]
    assert namespaces
    for one in namespaces:
        assert one["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("tree", TREES)
def test_every_deployment_meets_it(tree: str) -> None:
    deployments = [one for one in load(ROOT / tree) if one["kind"] == "Deployment"]
    assert deployments
    for one in deployments:
        spec = one["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == CONTAINER
            assert container["resources"]["limits"]["memory"]
            assert container["imagePullPolicy"] == "IfNotPresent"


@pytest.mark.parametrize("tree", TREES)
def test_selectors_select(tree: str) -> None:
    for one in load(ROOT / tree):
        if one["kind"] == "Deployment":
            labels = one["spec"]["template"]["metadata"]["labels"]
            assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_objects_are_in_the_operators_namespace(objects: list[Manifest]) -> None:
    cluster = {
        "Namespace",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
    for one in objects:
        assert one["metadata"].get("namespace") == (
            None if one["kind"] in cluster else "tradepulse-system"
        )


def test_both_crds_are_included(objects: list[Manifest]) -> None:
    names = [one["metadata"]["name"] for one in objects if one["kind"].startswith("CustomRes")]
    assert sorted(names) == ["releasecutovers.tradepulse.io", "tradingrunners.tradepulse.io"]


def test_one_operator_that_hands_its_lease_over(objects: list[Manifest]) -> None:
    spec = find(objects, "Deployment", MANAGER)["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_probes_ask_for_health_and_readiness(pod: dict[str, Any]) -> None:
    container = pod["containers"][0]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container["args"][0] == "run"
    assert container["ports"] == [{"name": "http", "containerPort": 8080}]


def test_the_label_that_runners_let_in(objects: list[Manifest]) -> None:
    template = find(objects, "Deployment", MANAGER)["spec"]["template"]
    assert template["metadata"]["labels"][LABEL_APP] == MANAGER


def test_the_operator_reaches_runners(objects: list[Manifest]) -> None:
    policy = find(objects, "NetworkPolicy", MANAGER)["spec"]
    (runners,) = (rule for rule in policy["egress"] if "to" in rule)
    apps = [peer["podSelector"]["matchLabels"][LABEL_APP] for peer in runners["to"]]
    assert apps == [APP_RUNNER, APP_REHEARSAL]
    assert runners["ports"] == [{"port": HTTP_PORT}]


def test_the_service_monitor_finds_the_operator(objects: list[Manifest]) -> None:
    service = find(objects, "Service", MANAGER)
    monitor = find(objects, "ServiceMonitor", MANAGER)["spec"]
    labels = service["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    ports = {port["name"] for port in service["spec"]["ports"]}
    assert {endpoint["port"] for endpoint in monitor["endpoints"]} <= ports


def test_images_are_the_ones_that_are_built(pod: dict[str, Any]) -> None:
    built = {tag for image in catalog.all_images(PythonBase("base", "3.11")) for tag in image.tags}
    assert f"{pod['containers'][0]['image']}:{catalog.VERSION}" in built
    for one in load(ROOT / TREES[1]):
        if one["kind"] == "Prometheus":
            assert one["spec"]["image"] in built
            assert one["spec"]["image"].endswith(f":{one['spec']['version']}")
        if one["kind"] == "Deployment":
            container = one["spec"]["template"]["spec"]["containers"][0]
            assert container["image"] in built
            reloader = container["args"][0].removeprefix("--prometheus-config-reloader=")
            assert reloader in built


def test_prometheus_is_configured_by_service_monitors_of_every_namespace() -> None:
    spec = find(load(ROOT / TREES[1]), "Prometheus", "prometheus")["spec"]
    assert spec["serviceMonitorSelector"] == {}
    assert spec["serviceMonitorNamespaceSelector"] == {}
    assert "additionalScrapeConfigs" not in spec
