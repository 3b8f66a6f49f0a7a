"""An Argo CD Application that follows a folder of a repository, and what Argo CD said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kubernetes import client

from tests.support.e2e.client import Cluster, Manifest, wait_for
from tests.support.e2e.watching import Recorder
from tests.support.gitops.repository import BRANCH
from tests.support.services.argocd.server import HERE

GROUP, VERSION = "argoproj.io", "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
#: What a webhook of the Git server causes.
_REFRESH = {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}}


@dataclass(frozen=True)
class Said:
    """One state of an Application's status.

    ``revision``: the one compared with; ``operation``: when the sync in it, the last one, started;
    ``heals``: that sync's number of attempts to heal, 0 when a commit caused it.
    """

    revision: str
    sync: str
    health: str
    operation: str
    heals: int


def said(application: Manifest) -> Said:
    """The status; empty where Argo CD has not written it yet."""
    status = application.get("status") or {}
    done = status.get("operationState") or {}
    sync = (done.get("operation") or {}).get("sync") or {}
    return Said(
        revision=str((status.get("sync") or {}).get("revision") or ""),
        sync=str((status.get("sync") or {}).get("status") or ""),
        health=str((status.get("health") or {}).get("status") or ""),
        operation=str(done.get("startedAt") or ""),
        heals=int(sync.get("autoHealAttemptsCount") or 0),
    )


class Recording:
    """States of an Application in their order, repetitions left out."""

    def __init__(self) -> None:
        self.states: list[Said] = []

    def note(self, now: Said) -> None:
        """One more, if it differs from the last."""
        if not self.states or self.states[-1] != now:
            self.states.append(now)

    @property
    def drifted(self) -> list[Said]:
        """States other than Synced after the revision had been Synced: what Git and the cluster
        disagreed about though no commit said so."""
        reached: set[str] = set()
        found = []
        for state in self.states:
            if state.sync == "Synced":
                reached.add(state.revision)
            elif state.revision in reached:
                found.append(state)
        return found

    @property
    def syncs(self) -> int:
        """Syncs that began while it was watched."""
        return len({state.operation for state in self._during_new_syncs()})

    @property
    def heals(self) -> int:
        """The most attempts to heal in any of those."""
        return max((state.heals for state in self._during_new_syncs()), default=0)

    @property
    def healths(self) -> list[str]:
        """Health by health as it changed, of what is Synced: an object that a commit has just
        added is missing until then."""
        found: list[str] = []
        for state in self.states:
            if state.sync == "Synced" and found[-1:] != [state.health]:
                found.append(state.health)
        return found

    def _during_new_syncs(self) -> list[Said]:
        # For a moment before a sync there is none: Argo CD clears the last one.
        old = {"", self.states[0].operation}
        return [state for state in self.states if state.operation not in old]


class Application:
    """One Application that syncs, prunes and heals by itself."""

    def __init__(self, cluster: Cluster, name: str, namespace: str) -> None:
        self._cluster = cluster
        self.name, self.namespace = name, namespace

    def create(self, url: str, path: str, target: str, options: Sequence[str]) -> None:
        """Follow ``path`` of the repository at ``url``, into the namespace ``target``."""
        server_side = "ServerSideApply=true" in options
        compare = {"argocd.argoproj.io/compare-options": "ServerSideDiff=true"}
        self._cluster.apply(
            {
                "apiVersion": API_VERSION,
                "kind": "Application",
                "metadata": {
                    "name": self.name,
                    "namespace": self.namespace,
                    "annotations": compare if server_side else {},
                },
                "spec": {
                    "project": "default",
                    "source": {"repoURL": url, "path": path, "targetRevision": BRANCH},
                    "destination": {"server": HERE, "namespace": target},
                    "syncPolicy": {
                        "automated": {"prune": True, "selfHeal": True},
                        "syncOptions": list(options),
                    },
                },
            }
        )

    def refresh(self) -> None:
        """Tell Argo CD that there was a commit."""
        self._cluster.patch("Application", self.name, self.namespace, _REFRESH, API_VERSION)

    def reads(self) -> Manifest:
        """The object."""
        found = self._cluster.get("Application", self.name, self.namespace, API_VERSION)
        assert found is not None, f"no Application {self.namespace}/{self.name}"
        return found

    def reaches(self, revision: str, *healths: str, seconds: float = 180) -> Manifest:
        """Wait until it is Synced to ``revision`` and has one of ``healths``."""

        def look() -> Manifest | None:
            found = self.reads()
            now = said(found)
            there = (now.revision, now.sync) == (revision, "Synced") and now.health in healths
            return found if there else None

        what = f"{self.name} to be Synced to {revision[:8]} and {' or '.join(healths)}"
        return wait_for(what, look, seconds=seconds)

    def watched(self) -> Watched:
        """A watch of this one object."""
        return Watched(self._cluster, self)


class Watched(Recorder):
    """Records every state in which Argo CD writes an Application."""

    def __init__(self, cluster: Cluster, application: Application) -> None:
        super().__init__(
            cluster,
            client.CustomObjectsApi(cluster.api).list_namespaced_custom_object,
            group=GROUP,
            version=VERSION,
            plural="applications",
            namespace=application.namespace,
            field_selector=f"metadata.name={application.name}",
        )
        self.recording = Recording()

    def _note(self, event: str, found: Manifest) -> None:
        self.recording.note(said(found))
