"""Asks the cluster's Prometheus through the API server: no port to forward, nothing to end."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from tests.support.cluster import verify
from tests.support.cluster.settings import Paths

NAMESPACE = "monitoring"
PROXY = f"/api/v1/namespaces/{NAMESPACE}/services/prometheus-operated:web/proxy"


class QueryFailed(RuntimeError):
    """Prometheus could not be reached, or refused the query."""


class Prometheus:
    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def query(self, query: str) -> list[dict[str, Any]]:
        """The series of an instant vector: `[{"metric": {…}, "value": [time, "1"]}]`."""
        try:
            path = f"{PROXY}/api/v1/query?{urlencode({'query': query})}"
            answer = json.loads(verify.kubectl(self._paths, "get", "--raw", path))
        except (verify.KubectlFailed, ValueError) as error:
            raise QueryFailed(f"Prometheus does not answer: {error}") from error
        series: list[dict[str, Any]] = answer["data"]["result"]
        return series
