"""The tests' view of the cluster: the official client, objects as plain manifests."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from kubernetes import client, config, dynamic

from tests.support.cluster.api import paths

Manifest = dict[str, Any]
T = TypeVar("T")

API_VERSION = "tradepulse.io/v1alpha1"


class Timeout(AssertionError):
    """A condition that did not come true in time; the message says what was last seen."""


class Cluster:
    """The cluster of `make cluster-up`. Every call is live."""

    def __init__(self, kubeconfig: Path | None = None) -> None:
        self.kubeconfig = kubeconfig or paths.kubeconfig
        self.api = config.new_client_from_config(str(self.kubeconfig))
        self._dynamic = dynamic.DynamicClient(self.api)
        self.core = client.CoreV1Api(self.api)

    def _resource(self, kind: str, api_version: str) -> Any:
        return self._dynamic.resources.get(api_version=api_version, kind=kind)

    def get(self, kind: str, name: str, namespace: str, api_version: str = "v1") -> Manifest | None:
        """The object, or None when it doesn't exist."""
        try:
            found = self._resource(kind, api_version).get(name=name, namespace=namespace)
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise
        return dict(found.to_dict())

    def objects(
        self, kind: str, namespace: str, api_version: str = "v1", labels: str = ""
    ) -> list[Manifest]:
        """The objects of a kind."""
        found = self._resource(kind, api_version).get(namespace=namespace, label_selector=labels)
        return [dict(item.to_dict()) for item in found.items]

    def apply(self, manifest: Manifest) -> None:
        """Server-side apply, as a GitOps client does."""
        self._resource(manifest["kind"], manifest["apiVersion"]).server_side_apply(
            body=manifest, field_manager="tests", force_conflicts=True
        )

    def patch(
        self, kind: str, name: str, namespace: str, body: Manifest, api_version: str = "v1"
    ) -> None:
        """JSON merge patch."""
        self._resource(kind, api_version).patch(
            name=name, namespace=namespace, body=body, content_type="application/merge-patch+json"
        )

    def delete(
        self,
        kind: str,
        name: str,
        namespace: str,
        api_version: str = "v1",
        grace: int | None = None,
    ) -> None:
        """Delete; an object that is gone already is fine."""
        try:
            self._resource(kind, api_version).delete(
                name=name, namespace=namespace, grace_period_seconds=grace
            )
        except client.ApiException as error:
            if error.status != 404:
                raise

    def namespace(self, name: str) -> None:
        """Make a namespace that holds pods to the restricted Pod Security standard."""
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {
                    "name": name,
                    "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
                },
            }
        )

    def runner(self, name: str, namespace: str) -> Manifest | None:
        """A TradingRunner."""
        return self.get("TradingRunner", name, namespace, API_VERSION)

    def cutover(self, name: str, namespace: str) -> Manifest | None:
        """A ReleaseCutover."""
        return self.get("ReleaseCutover", name, namespace, API_VERSION)

    def cutovers(self, namespace: str, runner: str) -> list[Manifest]:
        """The cutovers of a runner, oldest first."""
        found = self.objects("ReleaseCutover", namespace, API_VERSION)
        mine = [item for item in found if item["spec"]["runner"] == runner]
        return sorted(mine, key=lambda item: item["metadata"]["creationTimestamp"])

    def inside(self, pod: str, namespace: str, code: str) -> str:
        """What Python code prints in a runner's container; its image has no other program."""
        words = ["-n", namespace, "exec", pod, "-c", "runner", "--", "python3", "-c", code]
        return self.kubectl(*words)

    def kubectl(self, *args: str, timeout: float = 120) -> str:
        """Standard output of kubectl; raises with its error text when it fails."""
        done = subprocess.run(
            [str(paths.kubectl), "--kubeconfig", str(self.kubeconfig), *args],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout


def wait_for(
    what: str, look: Callable[[], T | None], *, seconds: float = 120, every: float = 0.25
) -> T:
    """The first truthy value of `look`; raises Timeout that names `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Timeout(f"waited {seconds:.0f} s for {what}; last seen: {found!r}")
        time.sleep(every)


def condition(manifest: Manifest | None, kind: str) -> Manifest | None:
    """The condition of that type, if the object has it."""
    status = (manifest or {}).get("status") or {}
    found = [item for item in status.get("conditions") or [] if item["type"] == kind]
    return found[0] if found else None


def is_true(manifest: Manifest | None, kind: str) -> bool:
    """Whether that condition is True."""
    found = condition(manifest, kind)
    return found is not None and found["status"] == "True"


def phase(manifest: Manifest | None) -> str:
    """The object's phase, or an empty string."""
    return str(((manifest or {}).get("status") or {}).get("phase") or "")


def is_pod_ready(pod: Manifest | None) -> bool:
    """Whether the kubelet calls that pod ready."""
    return is_true(pod, "Ready")
