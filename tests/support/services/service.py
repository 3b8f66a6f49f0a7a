"""What every backing server has in common."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from tests.support.cluster.progress import Step

LOOPBACK = "127.0.0.1"


class Service(Protocol):
    """A real server, or a group of them, on this machine."""

    @property
    def name(self) -> str:
        """How people call it, e.g. ``kafka``."""

    def install(self, step: Step) -> None:
        """Have its programs ready, from the package registries; a moment when they are.

        Raises StepFailed with a sentence that a person can act on.
        """

    def start(self, folder: Path, host: str = LOOPBACK) -> Mapping[str, str]:
        """Start in ``folder``, on free ports of ``host``; returns once it answers.

        What is returned tells how to connect, by setting; paths of secrets, never secrets.
        """

    def stop(self) -> None:
        """End what was started; ``folder`` stays."""


def free_port(host: str = LOOPBACK) -> int:
    """A port that nobody listens on now; take it soon."""
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
