"""Watches that record while something else happens."""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from kubernetes import client, watch
from urllib3.exceptions import ProtocolError

from tests.support.e2e.client import Cluster, Manifest


class Recorder(ABC):
    """Notes what is there, and from then on every event of a watch, until the block ends.

    ``lister``: a function of the official client, called with ``selection``.
    """

    def __init__(self, cluster: Cluster, lister: Callable[..., Any], **selection: str) -> None:
        self._plain = cluster.api.sanitize_for_serialization
        self._lister, self._selection = lister, selection
        self._watch = watch.Watch()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    @abstractmethod
    def _note(self, event: str, found: Manifest) -> None:
        """``event``: ADDED, MODIFIED or DELETED."""

    def __enter__(self) -> Self:
        listed = self._plain(self._lister(**self._selection))
        for found in listed["items"]:
            self._note("ADDED", found)
        self._version = listed["metadata"]["resourceVersion"]
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

    def _follow(self) -> None:
        while not self._stop.is_set():
            # A connection that broke is taken up again where it was: no event is missed.
            with contextlib.suppress(ProtocolError):
                self._until_it_ends()

    def _until_it_ends(self) -> None:
        events = self._watch.stream(
            self._lister, **self._selection, resource_version=self._version, timeout_seconds=30
        )
        for event in events:
            if event is None:  # a line that was cut off with the connection
                return
            found = event["raw_object"]
            self._version = found["metadata"]["resourceVersion"]
            self._note(event["type"], found)
            if self._stop.is_set():
                return


class PodWatch(Recorder):
    """How many pods of a runner existed at once, by every event of a watch."""

    def __init__(self, cluster: Cluster, namespace: str, runner: str) -> None:
        super().__init__(
            cluster,
            client.CoreV1Api(cluster.api).list_namespaced_pod,
            namespace=namespace,
            label_selector=f"tradepulse.io/runner={runner}",
        )
        self._alive: set[str] = set()
        self._all: set[str] = set()
        self.most_at_once = 0

    @property
    def seen(self) -> int:
        """Number of different pods."""
        return len(self._all)

    def _note(self, event: str, found: Manifest) -> None:
        uid = found["metadata"]["uid"]
        self._all.add(uid)
        if event == "DELETED":
            self._alive.discard(uid)
        else:
            self._alive.add(uid)
        self.most_at_once = max(self.most_at_once, len(self._alive))
