"""Fixtures of tests on the real cluster: the cluster with everything installed, and namespaces."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from tests.support.e2e import environment
from tests.support.e2e.client import Cluster


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The real cluster with Prometheus and the operator; brought up when it isn't."""
    os.environ.setdefault("NO_COLOR", "1")
    environment.up()
    return Cluster()


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of this test module's own."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    cluster.namespace(name)
    yield name
    cluster.delete("Namespace", name, "")
