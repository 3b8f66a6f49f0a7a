"""The release before this one, built from the repository's own history.

Upgrades, downgrades and rollbacks meet it: this operator runs its runners, and its operator runs
ours.
"""

from __future__ import annotations

from pathlib import Path

from tests.support import history
from tests.support.cluster.drafts import draft_of
from tests.support.cluster.progress import Progress, StepFailed
from tests.support.cluster.settings import Paths, inputs_key
from tests.support.images.base import REPOSITORY, PythonBase
from tests.support.images.catalog import OPERATOR, RUNNER, App, Image

OPERATOR_IMAGE = f"{REPOSITORY}/operator:previous"
RUNNER_VERSION = "0.9.0"
RUNNER_IMAGE = f"{REPOSITORY}/runner:{RUNNER_VERSION}"


def sources(paths: Paths | None = None) -> Path:
    """Where its sources lie, or will lie."""
    return (paths or Paths.default()).cache / "previous" / history.PREVIOUS[:12]


def ensure_sources(paths: Paths, progress: Progress) -> Path:
    """Its sources, taken out of the repository's history. Raises StepFailed in a shallow clone."""
    target = sources(paths)
    with draft_of(target) as draft, progress.step("Sources of the previous release"):
        if draft:
            try:
                history.extract(draft)
            except history.NotInHistory as error:
                raise StepFailed(str(error)) from None
    return target


def images(base: PythonBase) -> list[Image]:
    """Its operator, and one release of its runner."""
    root = sources()
    operator = App(OPERATOR.name, OPERATOR.package, OPERATOR.script, root)
    runner = App(RUNNER.name, RUNNER.package, RUNNER.script, root)
    return [
        _image(operator, OPERATOR_IMAGE, base, {"VERSION": "0.0.9"}),
        _image(runner, RUNNER_IMAGE, base, {"RELEASE_VERSION": RUNNER_VERSION}),
    ]


def _image(app: App, tag: str, base: PythonBase, arguments: dict[str, str]) -> Image:
    return Image(
        tags=(tag,),
        key=inputs_key(history.PREVIOUS, base.image, tag),
        dockerfile=app.dockerfile,
        context=app.root,
        arguments={"PYTHON_IMAGE": base.image, **arguments},
        app=app,
    )
