"""python -m tests.support.images build|load|status"""

from __future__ import annotations

import subprocess
import sys

import click
from rich.table import Table

from tests.support.cluster import api
from tests.support.cluster.commands import one_sentence
from tests.support.cluster.progress import Progress
from tests.support.cluster.settings import NODE
from tests.support.images import base, build, node
from tests.support.images.catalog import Image, all_images

EXPECTED = (api.StepFailed, api.PodmanFailed, subprocess.CalledProcessError, LookupError)


@click.group(cls=one_sentence(*EXPECTED))
def main() -> None:
    """The images of operator, runner releases and monitoring."""


@main.command("build")
def build_() -> None:
    """Build what is not current; needs no cluster."""
    build.ensure(api.paths, api.ensure_podman(), Progress())


@main.command()
def load() -> None:
    """Build what is not current, and give the node what it lacks."""
    podman, progress = api.ensure_podman(), Progress()
    images = build.ensure(api.paths, podman, progress)
    if not node.load(images, api.paths, podman, progress):
        progress.note("Every image is in the node already")


@main.command()
def status() -> None:
    """Tell which images are current and in the node; exit code 0 only if all are."""
    podman = api.podman()
    images = all_images(base.choose(podman))
    have = build.stored(podman)
    stale = {image.name for image in build.outdated(images, have)}
    lacking = {tag for image in images for tag in image.tags}
    if podman.container_running(NODE):
        lacking = set(node.missing(images, podman))
    table = Table("image", "MB", "built", "in the node")
    for image in images:
        table.add_row(*_row(image, have, stale, lacking))
    Progress().console.print(table)
    sys.exit(1 if stale or lacking else 0)


def _row(
    image: Image, have: dict[str, build.Stored], stale: set[str], lacking: set[str]
) -> tuple[str, str, str, str]:
    size = f"{have[image.name].size / 1e6:.1f}" if image.name in have else ""
    built = image.name not in stale
    return image.name, size, _mark(built), _mark(built and image.name not in lacking)


def _mark(good: bool) -> str:
    return "[green]yes[/]" if good else "[red]no[/]"


if __name__ == "__main__":
    main(prog_name="python -m tests.support.images")
