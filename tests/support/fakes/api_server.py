"""A small API server in memory: guards, server-side apply with ownership, finalizers, defaults.

What the real API server does is tested against a real one (tests/e2e/test_ports.py).
"""

from __future__ import annotations

import copy
import itertools
from typing import Any

from tradepulse_operator.clients.kubernetes.errors import Conflict, Invalid, NotFound
from tradepulse_operator.common.objects import Manifest, Ref, ref_of

#: Lists merged by key, per kind; all others are atomic. (kind, field) → key fields.
MERGED = {
    ("Service", "ports"): ("port", "protocol"),
    ("StatefulSet", "containers"): ("name",),
    ("StatefulSet", "initContainers"): ("name",),
    ("StatefulSet", "volumes"): ("name",),
    ("StatefulSet", "env"): ("name",),
    ("StatefulSet", "ports"): ("containerPort", "protocol"),
    ("StatefulSet", "volumeMounts"): ("mountPath",),
}
ATOMIC_MAPS = {"matchLabels", "selector", "nodeSelector"}


#: When an object that has finalizers was deleted; which moment it was matters to nobody.
DELETED_AT = "2027-01-15T08:00:00Z"


class ApiServer:
    """Objects by reference. `applied`: what the operator last applied, for ownership."""

    def __init__(self) -> None:
        self.objects: dict[Ref, Manifest] = {}
        self.applied: dict[Ref, Manifest] = {}
        self.versions = itertools.count(1)
        self.uids = itertools.count(1)
        self.writes = 0

    def get(self, ref: Ref) -> Manifest | None:
        found = self.objects.get(ref)
        return copy.deepcopy(found)

    def apply(self, manifest: Manifest) -> None:
        ref = ref_of(manifest)
        live = self.get(ref)
        base = copy.deepcopy(live) or {"metadata": {}}
        merged = merge(ref.kind, "", base, self.applied.get(ref, {}), copy.deepcopy(manifest))
        self.applied[ref] = copy.deepcopy(manifest)
        self.store(merged, live)

    def create(self, manifest: Manifest) -> None:
        if ref_of(manifest) in self.objects:
            raise Conflict(409, "AlreadyExists", str(ref_of(manifest)))
        self.store(copy.deepcopy(manifest), None)

    def replace(self, manifest: Manifest) -> None:
        live = self.guarded(ref_of(manifest), manifest["metadata"].get("resourceVersion"))
        self.store(copy.deepcopy(manifest), live)

    def replace_status(self, ref: Ref, version: str, status: Manifest) -> None:
        live = self.guarded(ref, version)
        self.store({**copy.deepcopy(live), "status": copy.deepcopy(status)}, live)

    def annotate(self, ref: Ref, uid: str, annotations: dict[str, str | None]) -> None:
        live = self.get(ref)
        if live is None:
            raise NotFound(404, "NotFound", str(ref))
        if live["metadata"]["uid"] != uid:
            raise Conflict(409, "Conflict", "uid")
        both = {**live["metadata"].get("annotations", {}), **annotations}
        new = copy.deepcopy(live)
        new["metadata"]["annotations"] = {k: v for k, v in both.items() if v is not None}
        self.store(new, live)

    def set_finalizers(self, ref: Ref, version: str, finalizers: tuple[str, ...]) -> None:
        """The last finalizer of an object that was deleted takes the object with it."""
        live = self.guarded(ref, version)
        new = copy.deepcopy(live)
        new["metadata"]["finalizers"] = list(finalizers)
        self.store(new, live)
        if not finalizers and "deletionTimestamp" in live["metadata"]:
            self.remove(ref)

    def guarded(self, ref: Ref, version: str | None) -> Manifest:
        """The object, when it is still the one with this resourceVersion."""
        live = self.get(ref)
        if live is None:
            raise NotFound(404, "NotFound", str(ref))
        if live["metadata"]["resourceVersion"] != version:
            raise Conflict(409, "Conflict", "the object has been modified")
        return live

    def store(self, new: Manifest, live: Manifest | None) -> None:
        """Default, validate and keep `new`; an unchanged object is no write."""
        ref, meta = ref_of(new), new["metadata"]
        default(new)
        validate(new, live)
        if live is None:
            meta |= {"uid": meta.get("uid") or f"uid-{next(self.uids)}", "generation": 1}
        elif new == live:
            return
        elif new.get("spec") != live.get("spec"):
            meta["generation"] = live["metadata"].get("generation", 1) + 1
        meta["resourceVersion"] = str(next(self.versions))
        self.writes += 1
        self.objects[ref] = new

    def delete(self, ref: Ref, uid: str) -> None:
        live = self.get(ref)
        if live is None:
            return
        if live["metadata"]["uid"] != uid:
            raise Conflict(409, "Conflict", "uid")
        if live["metadata"].get("finalizers"):
            new = copy.deepcopy(live)
            new["metadata"].setdefault("deletionTimestamp", DELETED_AT)
            self.store(new, live)
            return
        self.writes += 1
        self.remove(ref)

    def remove(self, ref: Ref) -> None:
        self.objects.pop(ref, None)
        self.applied.pop(ref, None)


def merge(kind: str, field: str, live: Any, old: Any, new: Any) -> Any:
    """`new` applied on `live`, when `old` was applied before."""
    if isinstance(new, dict) and field not in ATOMIC_MAPS:
        live = live if isinstance(live, dict) else {}
        old = old if isinstance(old, dict) else {}
        kept = {k: v for k, v in live.items() if k in new or k not in old}
        return kept | {k: merge(kind, k, live.get(k), old.get(k), v) for k, v in new.items()}
    keys = MERGED.get((kind, field))
    if isinstance(new, list) and keys:
        return merge_list(kind, live or [], old or [], new, keys)
    return new


def merge_list(
    kind: str, live: list[Any], old: list[Any], new: list[Any], keys: tuple[str, ...]
) -> list[Any]:
    def key(item: Any) -> tuple[Any, ...]:
        return tuple(item.get(name) for name in keys)

    lives, olds = {key(i): i for i in live}, {key(i): i for i in old}
    found = [merge(kind, "", lives.get(key(i)), olds.get(key(i)), i) for i in new]
    wanted = {key(i) for i in new}
    return found + [i for i in live if key(i) not in wanted and key(i) not in olds]


def default(manifest: Manifest) -> None:
    """A few of the defaults that the API server fills in."""
    spec = manifest.get("spec") or {}
    if manifest["kind"] == "Service":
        spec.setdefault("sessionAffinity", "None")
        spec.setdefault("ipFamilyPolicy", "SingleStack")
    if manifest["kind"] == "PersistentVolumeClaim":
        spec.setdefault("storageClassName", "standard")
        spec.setdefault("volumeMode", "Filesystem")
    if manifest["kind"] == "StatefulSet":
        pod = spec["template"]["spec"]
        pod.setdefault("restartPolicy", "Always")
        pod.setdefault("dnsPolicy", "ClusterFirst")
        for volume in pod.get("volumes", ()):
            if "configMap" in volume:
                volume["configMap"].setdefault("defaultMode", 420)
        for container in pod.get("containers", ()):
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                container.get(probe, {}).setdefault("successThreshold", 1)


def validate(new: Manifest, live: Manifest | None) -> None:
    """What the API server refuses."""
    if new["kind"] == "Service":
        names = [port["name"] for port in new.get("spec", {}).get("ports", [])]
        if len(names) != len(set(names)):
            raise Invalid(422, "Invalid", f"duplicate port names: {names}")
    if live is None:
        return
    immutable = {"ConfigMap": "data"} if live.get("immutable") else {"RoleBinding": "roleRef"}
    fixed = immutable.get(live["kind"])
    if fixed and new[fixed] != live[fixed]:
        raise Invalid(422, "Invalid", f"{fixed} is immutable")
    if live["kind"] == "PersistentVolumeClaim":
        for field in ("accessModes", "storageClassName"):
            if new["spec"].get(field) != live["spec"].get(field):
                raise Invalid(422, "Invalid", f"claim's {field} is immutable")
