"""Compares a live child with its desired manifest, and gives the request that repairs it.

The API server fills in defaults and other controllers add fields, so equality is too much to ask:
everything that is desired must be there, lists must have the desired length, and selectors must be
equal. What is no longer desired shows in the hash of the manifest as it was applied.

Values that others add in fields which the operator doesn't set are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tradepulse_operator.api.meta import Meta
from tradepulse_operator.common.names import ANNOTATION_APPLIED, LABEL_MANAGED_BY, LABEL_RUNNER
from tradepulse_operator.common.objects import Manifest, ref_of
from tradepulse_operator.controllers.step import Apply, Delete, Replace, Step

#: Maps in which a key too many changes the meaning. All of them are atomic for an apply.
_EXACT = frozenset({"matchLabels", "selector", "nodeSelector"})

_NAMED = {
    field: ("name",)
    for field in ("containers", "initContainers", "volumes", "env", "imagePullSecrets")
}
#: Lists in which an apply keeps what others added, per kind: field → what identifies an element.
#: Source: the `x-kubernetes-list-map-keys` of the API's own schema.
_MERGED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "Service": {"ports": ("port", "protocol")},
    "StatefulSet": {
        **_NAMED,
        "ports": ("containerPort", "protocol"),
        "volumeMounts": ("mountPath",),
    },
}


def deleting(live: Manifest) -> bool:
    """Whether it is being deleted; writing to it would be in vain."""
    return bool(live["metadata"].get("deletionTimestamp"))


def taken(live: Manifest, owner: Meta) -> bool:
    """Whether an object of that name belongs to someone else, and must be left alone."""
    meta = live["metadata"]
    controllers = [item["uid"] for item in meta.get("ownerReferences") or [] if is_controller(item)]
    if controllers:
        return controllers != [owner.uid]
    labels = meta.get("labels") or {}
    return labels.get(LABEL_RUNNER) != owner.name and LABEL_MANAGED_BY not in labels


def is_controller(reference: Mapping[str, Any]) -> bool:
    """Whether an ownerReference is the one of the object's controller."""
    return bool(reference.get("controller"))


def repair(live: Manifest | None, desired: Manifest) -> Step | None:
    """The one request that brings `live` nearer to `desired`; None when it satisfies it."""
    if live is None:
        return Apply(desired)
    if deleting(live):
        return None
    if desired["kind"] == "ConfigMap" and live.get("data") != desired["data"]:
        # Immutable: under this name, only another object can have the right content.
        return Delete(ref_of(desired), live["metadata"]["uid"])
    if desired["kind"] == "RoleBinding" and live.get("roleRef") != desired["roleRef"]:
        return Delete(ref_of(desired), live["metadata"]["uid"])  # immutable, too
    pruned = _without_foreign(live, desired, _MERGED.get(desired["kind"], {}))
    if pruned != live:
        return Replace({**pruned, "apiVersion": desired["apiVersion"], "kind": desired["kind"]})
    return None if satisfies(live, desired) else Apply(desired)


def satisfies(live: Manifest, desired: Manifest) -> bool:
    """Whether `live` contains all of `desired`, and was applied from it."""
    applied = (live["metadata"].get("annotations") or {}).get(ANNOTATION_APPLIED)
    wanted = (desired["metadata"].get("annotations") or {}).get(ANNOTATION_APPLIED)
    return applied == wanted and _contains(live, desired, "")


def _contains(live: Any, desired: Any, field: str) -> bool:
    if isinstance(desired, Mapping):
        if not isinstance(live, Mapping) or (field in _EXACT and live.keys() != desired.keys()):
            return False
        return all(key in live and _contains(live[key], desired[key], key) for key in desired)
    if isinstance(desired, list):
        if not isinstance(live, list) or len(live) != len(desired):
            return False
        return all(_contains(one, other, field) for one, other in zip(live, desired, strict=True))
    return bool(live == desired)


def _without_foreign(live: Any, desired: Any, merged: Mapping[str, tuple[str, ...]]) -> Any:
    """`live` without the list elements that an apply of `desired` would keep.

    Only in fields that are desired; `live` itself when there is nothing to take out.
    """
    if not isinstance(live, Mapping) or not isinstance(desired, Mapping):
        return live
    result = dict(live)
    for field in desired.keys() & live.keys():
        value, wanted = live[field], desired[field]
        if isinstance(value, list) and isinstance(wanted, list) and field in merged:
            result[field] = _known(value, wanted, merged[field], merged)
        else:
            result[field] = _without_foreign(value, wanted, merged)
    return result


def _known(
    live: list[Any],
    desired: list[Any],
    keys: tuple[str, ...],
    merged: Mapping[str, tuple[str, ...]],
) -> list[Any]:
    wanted = {tuple(item.get(key) for key in keys): item for item in desired}
    result = []
    for item in live:
        match = wanted.get(tuple(item.get(key) for key in keys))
        if match is not None:
            result.append(_without_foreign(item, match, merged))
    return result
