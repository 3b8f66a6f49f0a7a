"""Which images the cluster's node has, and giving it those that it lacks."""

from __future__ import annotations

import json

from tests.support.cluster import api
from tests.support.cluster.podman import Podman
from tests.support.cluster.progress import Progress
from tests.support.cluster.settings import NODE, Paths
from tests.support.images.base import REPOSITORY
from tests.support.images.build import stored
from tests.support.images.catalog import Image

# One call for all images: a line with the name, then its manifest on one line. The name alone says
# nothing (a tag moves); the manifest names the image's configuration, which is podman's image id.
_LIST = (
    "ctr --namespace=k8s.io images list | while read -r name _ digest _; do "
    f'case "$name" in {REPOSITORY}/*) echo "$name"; '
    "ctr --namespace=k8s.io content get \"$digest\" | tr -d '\\n'; echo;; esac; done"
)


def held(podman: Podman) -> dict[str, str]:
    """Image name → digest of its configuration, as containerd in the node has it."""
    return parse_listing(podman.run("exec", NODE, "sh", "-c", _LIST))


def parse_listing(text: str) -> dict[str, str]:
    lines = text.splitlines()
    found: dict[str, str] = {}
    for name, manifest in zip(lines[::2], lines[1::2], strict=True):
        # An image that lost its content is not there, whatever containerd's list says.
        if manifest.startswith("{"):
            found[name] = json.loads(manifest)["config"]["digest"].removeprefix("sha256:")
    return found


def missing(images: list[Image], podman: Podman) -> list[str]:
    """Names, of these images, that the node lacks or holds in another version."""
    here, there = stored(podman), held(podman)
    return [
        tag
        for image in images
        for tag in image.tags
        if tag in here and there.get(tag) != here[tag].id
    ]


def load(images: list[Image], paths: Paths, podman: Podman, progress: Progress) -> list[str]:
    """Load what is missing; returns the names loaded. Shared layers travel once."""
    names = missing(images, podman)
    if not names:
        return []
    archive = paths.scratch / "images.tar"
    paths.scratch.mkdir(parents=True, exist_ok=True)
    archive.unlink(missing_ok=True)
    with progress.step(f"Loading {len(names)} images into the node") as step:
        step.waits_for("podman save")
        podman.run("save", "--quiet", "--multi-image-archive", "--output", archive, *names)
        step.waits_for(f"import of {archive.stat().st_size / 1e6:.0f} MB")
        api.load_images(archive)
        archive.unlink()
    return names
