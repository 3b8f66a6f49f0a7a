"""Builds what is not current. Nothing is built twice: each image carries the key of its inputs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.support.cluster import toolchain
from tests.support.cluster.podman import Podman
from tests.support.cluster.progress import Progress
from tests.support.cluster.settings import Paths
from tests.support.images import base as bases
from tests.support.images import previous, prometheus, wheels
from tests.support.images.base import REPOSITORY, PythonBase
from tests.support.images.catalog import DEMO_DOCKERFILE, LABEL, Image, all_images

#: Of every file in a built layer: the same inputs give the same layers.
TIMESTAMP = "1580601600"


@dataclass(frozen=True)
class Stored:
    """An image as podman has it; `id` is the digest of its configuration."""

    id: str
    key: str
    size: int


def stored(podman: Podman) -> dict[str, Stored]:
    """What podman has under each name of ours."""
    found: dict[str, Stored] = {}
    for entry in json.loads(podman.run("images", "--format=json")):
        labels = entry.get("Labels") or {}
        image = Stored(entry["Id"], labels.get(LABEL, ""), entry["Size"])
        for name in entry.get("Names") or ():
            if name.startswith(f"{REPOSITORY}/"):
                found[name] = image
    return found


def outdated(images: list[Image], have: dict[str, Stored]) -> list[Image]:
    return [
        image
        for image in images
        if any(tag not in have or have[tag].key != image.key for tag in image.tags)
    ]


def ensure(paths: Paths, podman: Podman, progress: Progress) -> list[Image]:
    """Every image current; returns them all."""
    base = bases.choose(podman)
    images = all_images(base)
    if make(images, base, paths, podman, progress):
        _forget_old(podman, [*images, *previous.images(base)])
    return images


def ensure_previous(paths: Paths, podman: Podman, progress: Progress) -> list[Image]:
    """The images of the release before this one current; returns them."""
    base = bases.choose(podman)
    images = previous.images(base)
    if outdated(images, stored(podman)):
        previous.ensure_sources(paths, progress)
    make(images, base, paths, podman, progress)
    return images


def make(
    images: list[Image], base: PythonBase, paths: Paths, podman: Podman, progress: Progress
) -> bool:
    """Build those of `images` that aren't current; whether there were any."""
    todo = outdated(images, stored(podman))
    if todo:
        _prepare(todo, base, paths, podman, progress)
    for image in todo:
        context = _context(image, paths, progress)
        with progress.step(f"Building {image.name}") as step:
            step.run(
                podman.argv(*_arguments(image, context)),
                wheels.LOGS / f"{image.name.rsplit('/', 1)[1].replace(':', '-')}.log",
                env=podman.full_environment({"TMPDIR": str(paths.scratch)}),
            )
    return bool(todo)


def _prepare(
    todo: list[Image], base: PythonBase, paths: Paths, podman: Podman, progress: Progress
) -> None:
    paths.scratch.mkdir(parents=True, exist_ok=True)
    apps = list(dict.fromkeys(image.app for image in todo if image.app))
    if apps and base.local:
        bases.ensure(bases.PYTHON, paths, podman, progress)
    for app in apps:
        wheels.stage(app, base, progress)
    if any(image.dockerfile == DEMO_DOCKERFILE for image in todo):
        wheels.stage_demo(progress)


def _context(image: Image, paths: Paths, progress: Progress) -> Path:
    if image.program == prometheus.PROGRAM:
        return prometheus.ensure(paths, progress)
    if image.program:
        return toolchain.ensure(paths, progress).bin_dir
    return image.context


def _arguments(image: Image, context: Path) -> list[str | Path]:
    values = [f"--build-arg={name}={value}" for name, value in image.arguments.items()]
    tags = [f"--tag={tag}" for tag in image.tags]
    return [
        "build",
        "--layers",
        # Nothing is fetched during a build: what an image holds is what the locks say.
        "--network=none",
        "--pull=missing",
        f"--timestamp={TIMESTAMP}",
        f"--label={LABEL}={image.key}",
        *values,
        *tags,
        f"--file={image.dockerfile}",
        context,
    ]


def _forget_old(podman: Podman, images: list[Image]) -> None:
    """Untag what former inputs left; podman drops the layers that nothing uses any more."""
    current = {tag for image in images for tag in image.tags}
    current.add(bases.PYTHON.image)
    former = sorted(stored(podman).keys() - current)
    if former:
        podman.run("rmi", *former)
