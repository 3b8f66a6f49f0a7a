"""The Kubernetes port without a server: what it refuses to send at all."""

from __future__ import annotations

import pytest

from tradepulse_operator.clients.kubernetes import kinds
from tradepulse_operator.clients.kubernetes.client import guard


def test_a_guard_must_guard_something() -> None:
    assert guard("42") == "42"
    with pytest.raises(ValueError, match="without a uid"):
        guard("")


def test_paths_are_those_of_the_api_server() -> None:
    assert kinds.path(kinds.ref(kinds.POD, "ns", "a-0")) == "/api/v1/namespaces/ns/pods/a-0"
    assert kinds.collection(kinds.RUNNER, None) == "/apis/tradepulse.io/v1alpha1/tradingrunners"
    with pytest.raises(KeyError):
        kinds.collection(("v1", "Secret"), "ns")
