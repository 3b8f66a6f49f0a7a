"""Two desks whose runners are in Git: what is committed, and what is seen of it.

They differ in how a release is asked for, and in how Argo CD compares and applies.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.e2e import scenario
from tests.support.e2e.client import API_VERSION, Cluster, Manifest, wait_for
from tests.support.gitops.application import Application, Recording
from tests.support.gitops.repository import Repository
from tests.support.services.argocd.server import ArgoCD


@dataclass(frozen=True)
class Desk:
    """One folder, one Application, one runner; all of one name."""

    name: str
    #: Whether a release comes with a ReleaseCutover in Git, or the operator makes one.
    by_hand: bool
    options: Sequence[str]

    def runner(self, namespace: str, image: str) -> Manifest:
        """The runner as it is committed."""
        mode = "Manual" if self.by_hand else "Automatic"
        cutover = {"mode": mode, "template": scenario.POLICY}
        return scenario.runner(self.name, namespace, image, cutover=cutover)

    def cutover(self, image: str) -> Manifest:
        """The cutover as it is committed. It names its release: whether the runner or it is
        written first then makes no difference."""
        return {
            "apiVersion": API_VERSION,
            "kind": "ReleaseCutover",
            "metadata": {"name": self.cutover_name(image)},
            "spec": {"runner": self.name, "release": {"image": image}, **scenario.POLICY},
        }

    def cutover_name(self, image: str) -> str:
        return f"{self.name}-{image.rsplit(':', 1)[1].replace('.', '-')}"

    def first(self, namespace: str) -> Mapping[str, Sequence[Manifest]]:
        """Files of the first commit. Argo CD prunes no Application empty, so there is something
        besides the runner."""
        contact = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"{self.name}-desk"},
            "data": {"contact": "desk@example.com"},
        }
        return {f"{self.name}/desk.yaml": [contact], **self.release(namespace, scenario.GOOD)}

    def release(self, namespace: str, image: str) -> Mapping[str, Sequence[Manifest]]:
        """Files that ask for that release."""
        files = {f"{self.name}/runner.yaml": [self.runner(namespace, image)]}
        if self.by_hand and image != scenario.GOOD:
            files[f"{self.name}/{self.cutover_name(image)}.yaml"] = [self.cutover(image)]
        return files

    def removal(self) -> Mapping[str, Sequence[Manifest]]:
        """The runner's file and its cutover's, gone."""
        files: dict[str, Sequence[Manifest]] = {f"{self.name}/runner.yaml": []}
        if self.by_hand:
            files[f"{self.name}/{self.cutover_name(scenario.NEXT)}.yaml"] = []
        return files


DESKS = (
    # Argo CD's defaults.
    Desk("plain", by_hand=False, options=()),
    Desk(
        "explicit",
        by_hand=True,
        options=("ServerSideApply=true", "PrunePropagationPolicy=background"),
    ),
)


@dataclass
class Chapter:
    """What one commit led to, by desk."""

    revision: str
    watched: Mapping[str, Recording]
    runners: dict[str, Manifest] = field(default_factory=dict)
    cutovers: dict[str, Manifest] = field(default_factory=dict)
    applications: dict[str, Manifest] = field(default_factory=dict)


class Story:
    """Commits, and how to wait for what they lead to."""

    def __init__(self, cluster: Cluster, argo: ArgoCD, namespace: str, folder: Path) -> None:
        self.cluster, self.argo, self.namespace = cluster, argo, namespace
        self._repository = Repository(folder / "repository")
        self.applications = {d.name: Application(cluster, d.name, argo.namespace) for d in DESKS}

    def begin(self) -> Chapter:
        """The first commit, and Applications that follow it."""
        revision = self.commit("Two desks", lambda desk: desk.first(self.namespace))
        for desk in DESKS:
            application = self.applications[desk.name]
            application.create(self._repository.url, desk.name, self.namespace, desk.options)
        return Chapter(revision, {})

    def commit(
        self, message: str, files: Callable[[Desk], Mapping[str, Sequence[Manifest]]]
    ) -> str:
        """One commit to every desk's folder."""
        changed = {path: docs for desk in DESKS for path, docs in files(desk).items()}
        return self._repository.commit(message, changed)

    @contextlib.contextmanager
    def chapter(self, revise: Callable[[], str]) -> Iterator[Chapter]:
        """Commit and tell Argo CD, everything watched from before until the block ends."""
        with contextlib.ExitStack() as stack:
            watched = {
                name: stack.enter_context(application.watched()).recording
                for name, application in self.applications.items()
            }
            revision = revise()
            for application in self.applications.values():
                application.refresh()
            yield Chapter(revision, watched)

    def revert(self) -> str:
        return self._repository.revert()

    def settle(self, chapter: Chapter, *healths: str) -> None:
        """Wait until every Application is Synced with one of ``healths``, and stays under
        comparison for a while; then note what is there."""
        for application in self.applications.values():
            application.reaches(chapter.revision, *healths)
        self.await_comparisons(3)
        for desk in DESKS:
            chapter.applications[desk.name] = self.applications[desk.name].reads()
            if runner := self.cluster.runner(desk.name, self.namespace):
                chapter.runners[desk.name] = runner

    def await_comparisons(self, each: int) -> None:
        """Wait until Argo CD has compared the Applications so many times more."""
        goal = self.argo.compared() + each * len(DESKS)
        wait_for("Argo CD to compare", lambda: self.argo.compared() >= goal, seconds=120)

    def cutover_to(self, desk: Desk, image: str) -> str:
        """Wait for the cutover to ``image``; returns its name."""

        def look() -> str | None:
            found = self.cluster.cutovers(self.namespace, desk.name)
            names = [c["metadata"]["name"] for c in found if c["spec"]["release"]["image"] == image]
            assert len(names) < 2, f"more than one cutover to {image}: {names}"
            return names[0] if names else None

        return wait_for(f"a cutover of {desk.name} to {image}", look, seconds=60)
