"""Everything a test needs: the cluster, the images, Prometheus and the operator; and its levers.

`python -m tests.support.e2e.environment` brings it up; each part is left alone when it is current.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.cluster import api
from tests.support.cluster.progress import Progress
from tests.support.e2e.client import Cluster, Manifest, wait_for
from tests.support.images import base, build, node
from tests.support.images.catalog import operator_image
from tests.support.monitoring import install

NAMESPACE = "tradepulse-system"
OPERATOR = "tradepulse-operator"
#: Short, so that "idle means no writes" can be seen over several looks.
RESYNC_SECONDS = 15
#: The program of good releases, and that of bad ones.
_RUNNERS = ("/tradepulse-runner", "/tradepulse-demo-runner")
_WRITES = frozenset({"create", "apply", "status", "finalizers", "annotate", "replace", "delete"})
_PROXY = f"/api/v1/namespaces/{NAMESPACE}/services/{OPERATOR}:8080/proxy/metrics"
_QUERY = "/api/v1/namespaces/monitoring/services/prometheus-operated:web/proxy/api/v1/query"


def up() -> None:
    """Bring up what is missing or outdated; returns when the operator leads."""
    progress = Progress()
    api.up()
    podman = api.ensure_podman()
    images = build.ensure(api.paths, podman, progress)
    if node.load(images, api.paths, podman, progress):
        progress.note("The node has every image")
    install.up(api.paths, progress)
    install_operator(operator_image(base.choose(podman)).name, progress)


def install_operator(image: str, progress: Progress, root: Path = api.paths.root) -> None:
    """Apply CRDs and manifests of the checkout at `root` with that image of the operator."""
    with progress.step("The operator") as step:
        overlay = write_overlay(image, root)
        cluster = Cluster()
        step.waits_for("kubectl apply -k manifests")
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(overlay))
        step.waits_for("its Deployment to be available")
        cluster.kubectl(
            "-n", NAMESPACE, "rollout", "status", f"deployment/{OPERATOR}", "--timeout=180s",
            timeout=200,
        )  # fmt: skip


def write_overlay(image: str, root: Path) -> Path:
    """The manifests as they are, with that image and a short resync."""
    folder = root / "build" / "environment"
    folder.mkdir(parents=True, exist_ok=True)
    name, tag = image.rsplit(":", 1)
    argument = {
        "op": "add",
        "path": "/spec/template/spec/containers/0/args/-",
        "value": f"--resync={RESYNC_SECONDS}",
    }
    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(root / "manifests", folder)],
        "images": [{"name": name, "newTag": tag}],
        "patches": [
            {"target": {"kind": "Deployment", "name": OPERATOR}, "patch": json.dumps([argument])}
        ],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    return folder


def prometheus_query(query: str, at: float | None = None) -> list[Manifest]:
    """The series of a query to the cluster's Prometheus, as its HTTP API gives them."""
    words = {"query": query} | ({} if at is None else {"time": f"{at:.3f}"})
    answer = json.loads(Cluster().kubectl("get", "--raw", f"{_QUERY}?{urlencode(words)}"))
    series: list[Manifest] = answer["data"]["result"]
    return series


@contextmanager
def prometheus_down() -> Iterator[None]:
    """No Prometheus inside; outside it runs again, with an empty database."""
    cluster, version = Cluster(), "monitoring.coreos.com/v1"
    body = {"spec": {"replicas": 0}}
    cluster.patch("Prometheus", "prometheus", "monitoring", body, version)
    wait_for("Prometheus to be gone", lambda: not prometheus_pods(cluster), seconds=90)
    try:
        yield
    finally:
        install.up(api.paths, Progress())


def prometheus_pods(cluster: Cluster) -> list[Manifest]:
    return cluster.objects("Pod", "monitoring", labels="app.kubernetes.io/name=prometheus")


def operator_metrics() -> dict[str, float]:
    """`name{label=value,…}` → value, of the operator's own metrics."""
    text = Cluster().kubectl("get", "--raw", _PROXY)
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def counted(prefix: str, *words: str) -> float:
    """Sum of the operator's metrics of that name whose labels hold all `words`."""
    return sum(
        value
        for name, value in operator_metrics().items()
        if name.startswith(f"{prefix}{{") and all(word in name for word in words)
    )


def operator_writes() -> dict[str, float]:
    """Write requests to the Kubernetes API so far, by `verb kind`; the lease's own left out."""
    found: dict[str, float] = {}
    for name, value in operator_metrics().items():
        if not name.startswith("tradepulse_operator_api_requests_total{"):
            continue
        labels = dict(pair.split("=", 1) for pair in name.split("{", 1)[1].rstrip("}").split(","))
        if labels["verb"].lower() in _WRITES and labels["kind"] != "Lease":
            key = f"{labels['verb']} {labels['kind']}"
            found[key] = found.get(key, 0) + value
    return found


def looks(kind: str = "") -> float:
    """Reconciles so far."""
    return counted("tradepulse_operator_reconciles_total", f"kind={kind}")


def settled() -> None:
    """Wait until no namespace is being deleted any more, and then until a whole resync wrote
    nothing: the end of another test's runner is work, and comes when its orders are out."""
    cluster = Cluster()

    def ending() -> list[str]:
        found = cluster.objects("Namespace", "")
        return [
            item["metadata"]["name"] for item in found if item["metadata"].get("deletionTimestamp")
        ]

    wait_for("the namespaces of other tests to be gone", lambda: not ending(), seconds=240)

    def quiet() -> bool:
        before = operator_writes()
        await_resyncs(1)
        return operator_writes() == before

    wait_for("the operator to settle", quiet, seconds=240)


def await_resyncs(count: int) -> None:
    """Wait until every runner was looked at `count` more times."""
    runners = len(
        json.loads(Cluster().kubectl("get", "tradingrunners", "-A", "-o", "json"))["items"]
    )
    goal = looks("TradingRunner") + count * max(1, runners)
    wait_for(
        f"{count} resyncs",
        lambda: looks("TradingRunner") >= goal,
        # The operator's audit, every 30 s, finds that a resync is due and spreads it.
        seconds=60 * (count + 1),
        every=0.5,
    )


def guard_judgements() -> float:
    """Looks at cutovers so far; each look at a baking one asks Prometheus and judges."""
    return looks("ReleaseCutover")


def operator_process() -> int | None:
    """The host's process id of the operator that runs in the node; None while it restarts."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            words = _command(entry)
            if len(words) > 2 and words[1].endswith("/tradepulse-operator") and words[2] == "run":
                return int(entry.name)
    return None


def runner_process(pod: str) -> int | None:
    """The host's process id of the runner in that pod; None while it restarts."""
    name = f"HOSTNAME={pod}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            words = _command(entry)
            if len(words) > 2 and words[1].endswith(_RUNNERS) and words[2] == "run":
                with contextlib.suppress(OSError):  # it ended meanwhile
                    if name in (entry / "environ").read_bytes().split(b"\0"):
                        return int(entry.name)
    return None


def _command(entry: Path) -> list[str]:
    try:
        return (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:  # the process ended meanwhile
        return []


def kill_operator() -> bool:
    """SIGKILL, as the kernel does when memory runs out; the kubelet starts it again. False when
    there was none to kill, because the last one has not come back yet."""
    process = operator_process()
    if process is not None:
        os.kill(process, signal.SIGKILL)
    return process is not None


if __name__ == "__main__":
    up()
