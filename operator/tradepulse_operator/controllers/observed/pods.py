"""Views of pods, as far as decisions need them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tradepulse_operator.api.reasons import PodReason
from tradepulse_operator.api.untrusted import clean
from tradepulse_operator.common.names import CONTAINER, INIT_CONTAINER, LABEL_RELEASE

from .views import DrillPodView, PodView

#: Characters of a termination message; the kubelet itself keeps 4 KiB.
_LONGEST_MESSAGE = 4096
#: Reasons that don't pass by themselves in seconds; `ContainerCreating` does.
_STUCK = frozenset(PodReason)


def pod_view(pod: Mapping[str, Any]) -> PodView:
    """The view of a live pod."""
    meta, status = pod["metadata"], pod.get("status") or {}
    runner = container_status(status, "containerStatuses", CONTAINER)
    state = container_status(status, "initContainerStatuses", INIT_CONTAINER)
    ended = _ended(state)
    return PodView(
        uid=meta["uid"],
        release=(meta.get("labels") or {}).get(LABEL_RELEASE, ""),
        annotations=meta.get("annotations") or {},
        phase=status.get("phase") or "",
        ready=is_ready(status),
        deleting=bool(meta.get("deletionTimestamp")),
        image_id=runner.get("imageID") or None,
        init_exit=ended.get("exitCode"),
        init_message=message_of(ended),
        restarts=int(runner.get("restartCount") or 0),
        waiting=stuck(state) or stuck(runner),
    )


def drill_view(pod: Mapping[str, Any]) -> DrillPodView:
    """The view of a drill's pod."""
    meta, status = pod["metadata"], pod.get("status") or {}
    process = container_status(status, "containerStatuses", CONTAINER)
    ended = _ended(process)
    return DrillPodView(
        name=meta["name"],
        uid=meta["uid"],
        phase=status.get("phase") or "",
        deleting=bool(meta.get("deletionTimestamp")),
        exit_code=ended.get("exitCode"),
        message=message_of(ended) or status.get("message") or "",
        waiting=stuck(process),
    )


def address(pod: Mapping[str, Any]) -> str:
    """The IP at which its process can be queried; "" while it doesn't run."""
    status = pod.get("status") or {}
    state = container_status(status, "containerStatuses", CONTAINER).get("state") or {}
    return str(status.get("podIP") or "") if "running" in state else ""


def container_status(status: Mapping[str, Any], field: str, name: str) -> Mapping[str, Any]:
    """The status of the container of that name; empty while there is none."""
    status_of: Mapping[str, Any] = next(
        (item for item in status.get(field) or [] if item.get("name") == name), {}
    )
    return status_of


def is_ready(status: Mapping[str, Any]) -> bool:
    """Whether the pod of that status is ready."""
    return any(
        item.get("type") == "Ready" and item.get("status") == "True"
        for item in status.get("conditions") or []
    )


def _ended(container: Mapping[str, Any]) -> Mapping[str, Any]:
    """How it ended: now, or, while it waits to be tried again, the last time."""
    state = container.get("state") or {}
    if "terminated" in state:
        return state["terminated"] or {}
    if "waiting" in state:
        return (container.get("lastState") or {}).get("terminated") or {}
    return {}


def message_of(ended: Mapping[str, Any]) -> str:
    """The termination message, cleaned and truncated."""
    return clean(str(ended.get("message") or "")[:_LONGEST_MESSAGE])


def stuck(container: Mapping[str, Any]) -> str:
    """Why the container can't start, a reason that doesn't pass in seconds; else ""."""
    reason = ((container.get("state") or {}).get("waiting") or {}).get("reason") or ""
    return reason if reason in _STUCK else ""
