"""The state container's last word: a JSON object in its termination message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tradepulse_operator.api.untrusted import Unreadable, mapping, parse

from .views import PodView

#: Characters; the kubelet keeps 4 KiB.
_LONGEST = 4096


def said(pod: PodView) -> Mapping[str, Any]:
    """It, or nothing where it can't be used."""
    return statement(pod.init_message) or {}


def statement(message: str) -> Mapping[str, Any] | None:
    """The object that a termination message is; None where it is something else."""
    try:
        return mapping(parse(message, _LONGEST))
    except Unreadable:
        return None
