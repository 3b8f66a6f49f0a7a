"""Watches that record while something else happens."""

from __future__ import annotations

import contextlib
import threading
from types import TracebackType

from kubernetes import client, watch
from urllib3.exceptions import ProtocolError

from tests.e2e.client import Cluster


class PodWatch:
    """How many pods of a runner existed at once, by every event of a watch."""

    def __init__(self, cluster: Cluster, namespace: str, runner: str) -> None:
        self._core = client.CoreV1Api(cluster.api)
        self._namespace, self._labels = namespace, f"tradepulse.io/runner={runner}"
        self._watch = watch.Watch()
        self._alive: set[str] = set()
        self._all: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self.most_at_once = 0

    @property
    def seen(self) -> int:
        """Number of different pods."""
        return len(self._all)

    def __enter__(self) -> PodWatch:
        listed = self._core.list_namespaced_pod(self._namespace, label_selector=self._labels)
        for pod in listed.items:
            self._note("ADDED", pod.metadata.uid)
        self._version = listed.metadata.resource_version
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        watched_to_the_end = self._thread.is_alive()
        self._stop.set()
        self._watch.stop()
        if error is None:
            assert watched_to_the_end, "the watch ended before what it was to see"

    def _note(self, event: str, uid: str) -> None:
        self._all.add(uid)
        if event == "DELETED":
            self._alive.discard(uid)
        else:
            self._alive.add(uid)
        self.most_at_once = max(self.most_at_once, len(self._alive))

    def _follow(self) -> None:
        while not self._stop.is_set():
            # A connection that broke is taken up again where it was: no event is missed.
            with contextlib.suppress(ProtocolError):
                self._until_it_ends()

    def _until_it_ends(self) -> None:
        events = self._watch.stream(
            self._core.list_namespaced_pod,
            self._namespace,
            label_selector=self._labels,
            resource_version=self._version,
            timeout_seconds=30,
        )
        for event in events:
            self._version = event["object"].metadata.resource_version
            self._note(event["type"], event["object"].metadata.uid)
            if self._stop.is_set():
                return
