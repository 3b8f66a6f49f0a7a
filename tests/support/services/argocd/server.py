"""Argo CD's application controller and repository server, as processes on this machine.

They act on the cluster of a kubeconfig like the pods of an installation do: Applications, projects
and settings are objects in a namespace. There is no API server and no user interface.
"""

from __future__ import annotations

import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.cluster import gobuild as cluster_build
from tests.support.cluster import golang
from tests.support.cluster.progress import Progress, Step
from tests.support.cluster.settings import Paths, module_version
from tests.support.e2e.client import Cluster, is_true, wait_for
from tests.support.services import gobuild
from tests.support.services.argocd import redis
from tests.support.services.process import Child
from tests.support.services.service import LOOPBACK, free_port

MODULE = Path(__file__).resolve().parent / "go"
NAME = "github.com/argoproj/argo-cd/v3"
PACKAGE = f"{NAME}/cmd"
TAGS = "no_tracing,grpcnotrace"
#: How Argo CD calls the cluster that it runs in.
HERE = "https://kubernetes.default.svc"
#: Every so often each Application is compared, whether or not anything changed.
COMPARE_SECONDS = 5
_CRD, _CRD_VERSION = "CustomResourceDefinition", "apiextensions.k8s.io/v1"
_CRDS = {"applications": "application-crd.yaml", "appprojects": "appproject-crd.yaml"}


def install(step: Step) -> None:
    """Have both programs; from the cache in a moment, cold in some ten minutes."""
    redis.install(step)
    gobuild.ensure(MODULE, PACKAGE, step, tags=TAGS)
    if not manifests().is_dir():  # the program was kept, the modules were not
        paths = Paths.default()
        go = golang.ensure(paths, Progress())
        env = cluster_build.environment(go, paths)
        command: list[str | Path] = [go, "mod", "download", NAME]
        step.run(command, paths.logs / "go-argocd.log", env=env, cwd=MODULE)


def manifests() -> Path:
    """What Argo CD's own installation consists of."""
    version = module_version(NAME, (MODULE / "go.mod").read_text())
    return Paths.default().go_modules / f"{NAME}@{version}" / "manifests"


class ArgoCD:
    """One installation in ``namespace``, which may see and change ``target`` alone.

    ``component``: a kustomize component for its ``argocd-cm``, as people would use it.
    """

    def __init__(self, cluster: Cluster, namespace: str, target: str, component: Path) -> None:
        self._cluster = cluster
        self.namespace = namespace
        self._target, self._component = target, component
        self._metrics = f"http://{LOOPBACK}:{free_port()}"
        self._repository = f"http://{LOOPBACK}:{free_port()}"
        self._repository_port = free_port()

    @contextmanager
    def running(self, folder: Path) -> Iterator[ArgoCD]:
        """From installed to removed; logs are in ``folder``. Raises StepFailed."""
        children: list[Child] = []
        try:
            self._install(folder)
            store, address = redis.start(folder / "redis")
            children.append(store)
            children.append(repository := self._repository_server(folder, address))
            repository.wait_until(lambda: _answers(self._repository), "Argo CD's repo server")
            children.append(controller := self._controller(folder, address))
            controller.wait_until(lambda: _answers(self._metrics), "Argo CD's controller")
            yield self
        finally:
            for child in reversed(children):
                child.stop()
            self._remove()

    def compared(self) -> int:
        """How often any Application was compared with Git so far."""
        return int(self._sum("argocd_app_reconcile_count"))

    def _sum(self, name: str) -> float:
        with urllib.request.urlopen(f"{self._metrics}/metrics", timeout=30) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        samples = (sample for family in families for sample in family.samples)
        return sum(sample.value for sample in samples if sample.name == name)

    def _repository_server(self, folder: Path, cache: str) -> Child:
        words = ["--address", LOOPBACK, "--port", str(self._repository_port)]
        words += ["--metrics-address", LOOPBACK, "--redis", cache]
        words += ["--metrics-port", self._repository.rsplit(":", 1)[1]]
        return self._child("argocd-repo-server", words, folder)

    def _controller(self, folder: Path, cache: str) -> Child:
        words = ["--kubeconfig", str(self._cluster.kubeconfig), "--namespace", self.namespace]
        words += ["--repo-server", f"{LOOPBACK}:{self._repository_port}", "--redis", cache]
        words += ["--metrics-port", self._metrics.rsplit(":", 1)[1]]
        words += ["--app-resync", str(COMPARE_SECONDS), "--app-resync-jitter", "0"]
        return self._child("argocd-application-controller", words, folder)

    def _child(self, name: str, words: list[str], folder: Path) -> Child:
        scratch = folder / f"{name}-tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        env = {
            "ARGOCD_BINARY_NAME": name,
            "ARGOCD_ASK_PASS_SOCK": str(scratch / "ask-pass.sock"),
            "ARGOCD_FAKE_IN_CLUSTER": "true",
            "ARGOCD_GPG_ENABLED": "false",
            "HOME": str(scratch),
            "KUBECONFIG": str(self._cluster.kubeconfig),
            "TMPDIR": str(scratch),
        }
        program = gobuild.program(MODULE, PACKAGE, tags=TAGS)
        return Child([program, *words], folder / f"{name}.log", env=env, cwd=folder)

    def _install(self, folder: Path) -> None:
        for plural, file in _CRDS.items():
            self._serve(f"{plural}.argoproj.io", manifests() / "crds" / file)
        self._cluster.namespace(self.namespace)
        overlay = _overlay(folder, self.namespace, manifests() / "base/config", self._component)
        self._cluster.kubectl("apply", "--server-side", "-k", str(overlay))
        for manifest in (self._key(), self._own_cluster(), self._project()):
            self._cluster.apply(manifest)

    def _serve(self, crd: str, file: Path) -> None:
        self._cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(file))

        def served() -> bool:
            return is_true(self._cluster.get(_CRD, crd, "", _CRD_VERSION), "Established")

        wait_for(f"{crd} to be served", served, seconds=30)

    def _remove(self) -> None:
        """The CRDs take the Applications with them. These have no finalizer, so that nobody waits
        for a controller that is gone, and what they deployed stays."""
        for plural in _CRDS:
            self._cluster.delete(_CRD, f"{plural}.argoproj.io", "", _CRD_VERSION)
        self._cluster.delete("Namespace", self.namespace, "")

    def _key(self) -> dict[str, object]:
        """Its API server would make this on its first start."""
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "argocd-secret", "namespace": self.namespace},
            "stringData": {"server.secretkey": secrets.token_urlsafe(32)},
        }

    def _own_cluster(self) -> dict[str, object]:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "in-cluster",
                "namespace": self.namespace,
                "labels": {"argocd.argoproj.io/secret-type": "cluster"},
            },
            "stringData": {
                "name": "in-cluster",
                "server": HERE,
                "namespaces": self._target,
                "config": '{"tlsClientConfig":{"insecure":false}}',
            },
        }

    def _project(self) -> dict[str, object]:
        return {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AppProject",
            "metadata": {"name": "default", "namespace": self.namespace},
            "spec": {
                "sourceRepos": ["*"],
                "destinations": [{"server": HERE, "namespace": self._target}],
            },
        }


def _overlay(folder: Path, namespace: str, base: Path, component: Path) -> Path:
    """Argo CD's own settings with the component on top."""
    overlay = folder / "settings"
    overlay.mkdir(parents=True, exist_ok=True)
    written: Mapping[str, object] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": [os.path.relpath(base, overlay)],
        "components": [os.path.relpath(component, overlay)],
    }
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(written))
    return overlay


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False
