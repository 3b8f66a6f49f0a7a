"""A check's or rehearsal's pod, as the cutover's reconciler sees it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tradepulse_operator.common.names import CONTAINER
from tradepulse_operator.common.time import instant

from .pods import container_status, is_ready, message_of, stuck
from .views import AuxiliaryPodView


def auxiliary_view(pod: Mapping[str, Any], uid: str) -> AuxiliaryPodView | None:
    """The view of a live pod; None when it isn't of the cutover with that uid."""
    meta, status = pod["metadata"], pod.get("status") or {}
    if uid not in {owner.get("uid") for owner in meta.get("ownerReferences") or []}:
        return None
    container = container_status(status, "containerStatuses", CONTAINER)
    state = container.get("state") or {}
    ended: Mapping[str, Any] = state.get("terminated") or {}
    at = ended.get("finishedAt")
    return AuxiliaryPodView(
        uid=meta["uid"],
        ready=is_ready(status),
        deleting=bool(meta.get("deletionTimestamp")),
        image_id=container.get("imageID") or None,
        waiting=_waiting(container),
        created_at=_instant(meta.get("creationTimestamp")) or 0.0,
        ended=status.get("phase") in ("Failed", "Succeeded"),
        exit_code=_own_end(status, ended),
        message=message_of(ended) or str(status.get("message") or status.get("reason") or ""),
        ended_at=_instant(at) or _instant(meta.get("creationTimestamp")),
    )


def _own_end(status: Mapping[str, Any], ended: Mapping[str, Any]) -> int | None:
    """Exit code of a process that ended by itself; None when the pod was evicted or timed out."""
    code = ended.get("exitCode")
    return None if status.get("reason") or code is None else int(code)


def _waiting(container: Mapping[str, Any]) -> str:
    """Why the container waits; one text for the two reasons between which the kubelet alternates
    when an image can't be pulled."""
    reason = stuck(container)
    if "Image" in reason:
        return "the image can't be pulled: check its name, and whether the node may pull it"
    return reason


def _instant(text: Any) -> float | None:
    return instant(text) if isinstance(text, str) else None
