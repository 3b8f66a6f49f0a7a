"""Whether the cluster really works: more than a node that calls itself Ready."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from tests.support.cluster import netguard
from tests.support.cluster.podman import Podman
from tests.support.cluster.progress import Step, StepFailed
from tests.support.cluster.settings import HERE, NODE, Paths

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
PROBE_NAMESPACE = "cluster-probe"
POLL_SECONDS = 0.5
SETTLE_SECONDS = 90.0
REQUEST_SECONDS = 10.0


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool
    detail: str


class KubectlFailed(RuntimeError):
    """kubectl ended with an error."""


def kubectl(paths: Paths, *args: str, stdin: str | None = None) -> str:
    result = subprocess.run(
        [
            str(paths.kubectl),
            f"--kubeconfig={paths.kubeconfig}",
            f"--request-timeout={REQUEST_SECONDS:.0f}s",
            *args,
        ],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise KubectlFailed(result.stderr.strip())
    return result.stdout


def checks(paths: Paths, podman: Podman) -> list[Check]:
    """What can be told in a second. The first that fails explains the others: stop there."""
    running = podman.container_running(NODE)
    found = [Check("node container", running, NODE if running else "not running")]
    if running:
        found += _api_checks(paths)
    wrong = netguard.problems()
    found.append(Check("network guard", not wrong, "; ".join(wrong) or "stands"))
    return found


def _api_checks(paths: Paths) -> list[Check]:
    if not paths.kubeconfig.exists():
        return [Check("API server", False, "no kubeconfig: the cluster is half made")]
    try:
        nodes, dns, classes = (
            json.loads(kubectl(paths, "get", *what, "--output=json"))
            for what in (
                ["nodes"],
                ["--namespace=kube-system", "deployment/coredns"],
                ["storageclasses"],
            )
        )
    except (KubectlFailed, OSError) as error:
        return [Check("API server", False, str(error))]
    return [node_check(nodes), dns_check(dns), storage_check(classes)]


def node_check(nodes: dict[str, Any]) -> Check:
    for node in nodes["items"]:
        conditions = {c["type"]: c["status"] for c in node["status"].get("conditions", [])}
        if conditions.get("Ready") == "True":
            version = node["status"]["nodeInfo"]["kubeletVersion"]
            return Check("node", True, f"Ready, Kubernetes {version}")
    return Check("node", False, "not Ready")


def dns_check(deployment: dict[str, Any]) -> Check:
    available = deployment.get("status", {}).get("availableReplicas", 0)
    return Check("CoreDNS", available > 0, f"{available} available")


def storage_check(classes: dict[str, Any]) -> Check:
    names = [
        item["metadata"]["name"]
        for item in classes["items"]
        if item["metadata"].get("annotations", {}).get(DEFAULT_CLASS) == "true"
    ]
    return Check("default StorageClass", bool(names), ", ".join(names) or "none")


def settle(paths: Paths, podman: Podman, step: Step) -> None:
    """Wait until every quick check holds."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        failed = [check for check in checks(paths, podman) if not check.ok]
        if not failed:
            return
        said = "; ".join(f"{check.name}: {check.detail}" for check in failed)
        if time.monotonic() > deadline:
            raise StepFailed(f"the cluster does not settle: {said}")
        step.waits_for(said)
        time.sleep(POLL_SECONDS)


def fetch_through_service(paths: Paths, step: Step) -> None:
    """Pod → new Service, by ClusterIP and by name."""
    step.waits_for("a pod fetching from a new Service")
    kubectl(
        paths,
        "delete",
        "namespace",
        PROBE_NAMESPACE,
        "--ignore-not-found",
        "--wait",
        "--timeout=60s",
    )
    kubectl(paths, "apply", "--filename=-", stdin=(HERE / "probe.yaml").read_text())
    deadline = time.monotonic() + SETTLE_SECONDS
    phase = ""
    while phase not in {"Succeeded", "Failed"} and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        phase = _client("--output=jsonpath={.status.phase}", paths)
    if phase != "Succeeded":
        said = kubectl(paths, "logs", f"--namespace={PROBE_NAMESPACE}", "client", "--tail=5")
        raise StepFailed(f"a pod cannot reach a Service: the probe is {phase or 'absent'}: {said}")
    kubectl(paths, "delete", "namespace", PROBE_NAMESPACE, "--wait=false")


def _client(output: str, paths: Paths) -> str:
    return kubectl(
        paths,
        "get",
        "pod",
        "client",
        f"--namespace={PROBE_NAMESPACE}",
        "--ignore-not-found",
        output,
    )
