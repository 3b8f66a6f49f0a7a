"""Fixtures: the cluster of the end-to-end tests, and an Argo CD of this module's own beside it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster.progress import Progress
from tests.support.cluster.settings import Paths
from tests.support.e2e.client import Cluster
from tests.support.e2e.fixtures import cluster, namespace
from tests.support.gitops.story import Story
from tests.support.services.argocd.server import ArgoCD, install

__all__ = ["cluster", "namespace"]

COMPONENT = Paths.default().root / "manifests" / "argocd"


@pytest.fixture(scope="module")
def story(
    cluster: Cluster,
    namespace: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Story]:
    """Two runners that are in Git and nowhere else, before the first commit."""
    with Progress().step("Argo CD") as step:
        install(step)
    folder: Path = tmp_path_factory.mktemp("argocd")
    argo = ArgoCD(cluster, f"argocd-{uuid.uuid4().hex[:8]}", namespace, COMPONENT)
    with argo.running(folder):
        yield Story(cluster, argo, namespace, folder)
