"""A small API server and a clock for tests in which a fault is the subject.

What the real API server does is tested against a real one (tests/e2e/test_ports.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tradepulse_operator.clients.kubernetes.errors import Conflict, KubeError, NotFound
from tradepulse_operator.clients.kubernetes.kinds import Kind
from tradepulse_operator.common.objects import Manifest, Ref, ref_of

#: `list` is a verb of the API, and so a method below.
Manifests = list[Manifest]


class FakeClock:
    """Stands still until it is moved; wall time is monotonic time plus 1.8 billion."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return 1_800_000_000.0 + self.at

    def monotonic(self) -> float:
        return self.at


class FakeKube:
    """Objects by reference. `fault(verb, ref)` may raise or return an awaitable."""

    def __init__(self) -> None:
        self.objects: dict[Ref, Manifest] = {}
        self.unserved: set[Kind] = set()
        self.writes: list[tuple[str, Ref]] = []
        self.fault: Callable[[str, Ref | None], Any] = lambda verb, ref: None
        self.log = "log of {container}"
        self._version = 0

    async def _enter(self, verb: str, ref: Ref | None) -> None:
        found = self.fault(verb, ref)
        if asyncio.iscoroutine(found):
            await found
        if verb not in ("get", "list", "serves", "logs", "events") and ref is not None:
            self.writes.append((verb, ref))

    def put(self, manifest: Manifest) -> Manifest:
        """Store it, with a uid and a new version."""
        self._version += 1
        meta = {
            "uid": f"uid-{manifest['metadata']['name']}",
            **manifest["metadata"],
            "resourceVersion": str(self._version),
        }
        stored = {**manifest, "metadata": meta}
        self.objects[ref_of(stored)] = stored
        return stored

    def _need(self, ref: Ref) -> Manifest:
        if ref not in self.objects:
            raise NotFound(404, "NotFound", str(ref))
        return self.objects[ref]

    async def get(self, ref: Ref, *, metadata_only: bool = False) -> Manifest | None:
        await self._enter("get", ref)
        found = self.objects.get(ref)
        return {**found, "data": None} if found and metadata_only else found

    async def list(
        self,
        kind: Kind,
        namespace: str | None,
        *,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> Manifests:
        await self._enter("list", None)
        return [
            item
            for ref, item in self.objects.items()
            if (ref.api_version, ref.kind) == kind and namespace in (None, ref.namespace)
        ]

    async def serves(self, kind: Kind) -> bool:
        await self._enter("serves", None)
        return kind not in self.unserved

    async def apply(self, manifest: Manifest) -> Manifest:
        ref = ref_of(manifest)
        await self._enter("apply", ref)
        if (ref.api_version, ref.kind) in self.unserved:
            raise NotFound(404, "NotFound", "no such kind")
        return self.put(manifest)

    async def create(self, manifest: Manifest) -> Manifest:
        ref = ref_of(manifest)
        await self._enter("create", ref)
        if ref in self.objects:
            raise Conflict(409, "AlreadyExists", str(ref))
        return self.put(manifest)

    async def replace(self, manifest: Manifest) -> Manifest:
        ref = ref_of(manifest)
        await self._enter("replace", ref)
        self._guard(ref, manifest["metadata"].get("resourceVersion"))
        return self.put(manifest)

    async def replace_status(self, ref: Ref, version: str, status: Manifest) -> None:
        await self._enter("status", ref)
        self._guard(ref, version)
        self.put({**self.objects[ref], "status": status})

    async def annotate(self, ref: Ref, uid: str, annotations: dict[str, str | None]) -> None:
        await self._enter("annotate", ref)
        found = self._need(ref)
        if found["metadata"]["uid"] != uid:
            raise Conflict(409, "UidChanged", str(ref))
        both = {**found["metadata"].get("annotations", {}), **annotations}
        kept = {key: value for key, value in both.items() if value is not None}
        self.put({**found, "metadata": {**found["metadata"], "annotations": kept}})

    async def set_finalizers(self, ref: Ref, version: str, finalizers: tuple[str, ...]) -> None:
        await self._enter("finalizers", ref)
        self._guard(ref, version)

    async def delete(self, ref: Ref, uid: str) -> None:
        await self._enter("delete", ref)
        if ref in self.objects and self.objects[ref]["metadata"]["uid"] != uid:
            raise Conflict(409, "Conflict", "uid")
        self.objects.pop(ref, None)

    async def logs(self, namespace: str, pod: str, container: str, **_: Any) -> str:
        await self._enter("logs", None)
        return self.log.format(container=container)

    async def events(self, namespace: str, uid: str) -> Manifests:
        await self._enter("events", None)
        return []

    def _guard(self, ref: Ref, version: str | None) -> None:
        if self._need(ref)["metadata"]["resourceVersion"] != version:
            raise Conflict(409, "Conflict", "the object has been modified")


def failing(error: KubeError, *verbs: str) -> Callable[[str, Ref | None], None]:
    """A fault that raises `error` for those verbs."""

    def fault(verb: str, ref: Ref | None) -> None:
        if verb in verbs:
            raise error

    return fault
