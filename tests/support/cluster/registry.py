"""Whether a ready-made node image can be had: a short question, asked before anything is built."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request

from tests.support.cluster.podman import Podman, PodmanFailed
from tests.support.cluster.progress import Progress
from tests.support.cluster.settings import PREBUILT_NODE_IMAGE

REGISTRY = "https://registry-1.docker.io/v2/"
PROBE_SECONDS = 3.0
PULL_SECONDS = 600.0


def node_image_available(podman: Podman, progress: Progress) -> bool:
    """True if podman has, or can pull, the registry's node image."""
    if podman.image_exists(PREBUILT_NODE_IMAGE):
        return True
    if not reachable():
        return False
    with progress.step(f"Pulling {PREBUILT_NODE_IMAGE.split('@')[0]}"):
        try:
            podman.run("pull", "--quiet", PREBUILT_NODE_IMAGE, timeout=PULL_SECONDS)
        except (PodmanFailed, subprocess.TimeoutExpired):
            return False
    return True


def reachable(url: str = REGISTRY, seconds: float = PROBE_SECONDS) -> bool:
    """A registry answers an anonymous request with 401; anything else is not a registry."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        return error.code == 401
    except (OSError, ValueError):
        return False
