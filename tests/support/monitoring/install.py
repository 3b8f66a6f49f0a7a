"""Installs the Prometheus operator and one Prometheus, and waits until it really scrapes."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.cluster import gobuild, golang, verify
from tests.support.cluster.progress import Progress, Step, StepFailed
from tests.support.cluster.settings import Paths, module_version
from tests.support.monitoring.query import NAMESPACE, Prometheus, QueryFailed

FILES = Path(__file__).resolve().parent / "files"
CRD_FOLDER = "example/prometheus-operator-crd"
#: The kinds this Prometheus is made from; without the others the operator leaves them alone.
KINDS = (
    "prometheuses",
    "servicemonitors",
    "podmonitors",
    "probes",
    "prometheusrules",
    "scrapeconfigs",
)
POLL_SECONDS = 1.0
READY_SECONDS = 180.0
#: The operator itself restarts once or twice when it comes up before the cluster's network.
CRASHES = 4

#: Says what is missing; empty when nothing is.
Condition = Callable[[Paths], str]


def up(paths: Paths, progress: Progress) -> None:
    """Apply and wait. Applying again changes nothing, so there is no question whether it is there.

    Raises StepFailed, naming what it waited for.
    """
    with progress.step("Applying the Prometheus operator and Prometheus") as step:
        for file in crds(paths):
            _apply(paths, ["--filename", str(file)])
        # The API server serves a new kind a moment after it has accepted it.
        _wait(paths, step, _applied)
    with progress.step("Waiting for Prometheus to scrape") as step:
        for look in (operator_ready, prometheus_ready, scraping):
            _wait(paths, step, look)
    progress.note("Prometheus scrapes: " + ", ".join(sorted(targets(paths))))


def crds(paths: Paths) -> list[Path]:
    """The CRD files of the operator's own module, in the version that was compiled."""
    version = module_version(gobuild.PROMETHEUS_OPERATOR)
    folder = paths.go_modules / f"{gobuild.PROMETHEUS_OPERATOR}@{version}" / CRD_FOLDER
    if not folder.is_dir():
        go = golang.ensure(paths, Progress())
        subprocess.run(
            [go, "mod", "download", f"{gobuild.PROMETHEUS_OPERATOR}@{version}"],
            env=gobuild.environment(go, paths),
            capture_output=True,
            check=True,
        )
    return [folder / f"monitoring.coreos.com_{kind}.yaml" for kind in KINDS]


def operator_ready(paths: Paths) -> str:
    return available(
        "deployment/prometheus-operator", _status(paths, "deployment/prometheus-operator")
    )


def prometheus_ready(paths: Paths) -> str:
    return available("prometheus/prometheus", _status(paths, "prometheus/prometheus"))


def available(name: str, status: dict[str, Any]) -> str:
    """Reads the condition `Available` of a status."""
    for condition in status.get("conditions") or ():
        if condition["type"] == "Available":
            told = condition.get("message") or condition.get("reason") or "not available"
            return "" if condition["status"] == "True" else f"{name}: {told}"
    return f"{name}: no word of it yet"


def scraping(paths: Paths) -> str:
    """Prometheus' own series prove that a ServiceMonitor became a scrape."""
    try:
        found = targets(paths)
    except QueryFailed as error:
        return str(error)
    return "" if found.get("monitoring/prometheus-operated") else "no sample of itself yet"


def targets(paths: Paths) -> dict[str, bool]:
    """Namespace and job of everything that is scraped → whether all of it answers."""
    series = Prometheus(paths).query("min by (namespace, job) (up)")
    return {
        f"{one['metric'].get('namespace', '')}/{one['metric'].get('job', '')}": one["value"][1]
        == "1"
        for one in series
    }


def _applied(paths: Paths) -> str:
    try:
        _apply(paths, ["--kustomize", str(FILES)])
    except verify.KubectlFailed as error:
        if "no matches for kind" in str(error) or "not find the requested resource" in str(error):
            return "the new kinds to be served"
        raise
    return ""


def _apply(paths: Paths, what: list[str]) -> None:
    verify.kubectl(paths, "apply", "--server-side", "--force-conflicts", *what)


def _status(paths: Paths, what: str) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(_kubectl_get(paths, what)).get("status") or {}
    return status


def _kubectl_get(paths: Paths, what: str) -> str:
    return verify.kubectl(paths, "get", f"--namespace={NAMESPACE}", what, "--output=json")


def _wait(paths: Paths, step: Step, look: Condition, seconds: float = READY_SECONDS) -> None:
    until = time.monotonic() + seconds
    while missing := look(paths):
        broken = crashed(json.loads(_kubectl_get(paths, "pods")))
        if broken or time.monotonic() > until:
            raise StepFailed(f"gave up waiting for {missing}\n{broken}".rstrip())
        step.waits_for(missing)
        time.sleep(POLL_SECONDS)


def crashed(pods: dict[str, Any]) -> str:
    """What broke for good: containers that were restarted again and again, and their last words."""
    said = []
    for pod in pods["items"]:
        status = pod.get("status") or {}
        for one in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            waiting = (one.get("state") or {}).get("waiting") or {}
            if one["restartCount"] < CRASHES or not waiting:
                continue
            last = (one.get("lastState") or {}).get("terminated") or {}
            words = last.get("message") or waiting.get("message") or waiting.get("reason")
            said.append(f"{pod['metadata']['name']}/{one['name']}: {words}")
    return "\n".join(said)
