"""The operator's client of the Kubernetes API, in front of the server in memory.

For tests in which a fault of the API is the subject: each call may fail or hang.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any

from tests.support.fakes.api_server import ApiServer
from tradepulse_operator.clients.kubernetes.errors import KubeError, NotFound
from tradepulse_operator.clients.kubernetes.kinds import Kind
from tradepulse_operator.common.objects import Manifest, Ref, ref_of

#: `list` is a verb of the API, and so a method below.
Manifests = list[Manifest]


class FakeKube:
    """What `server` holds. `fault(verb, ref)` may raise or return an awaitable."""

    def __init__(self) -> None:
        self.server = ApiServer()
        self.unserved: set[Kind] = set()
        self.writes: list[tuple[str, Ref]] = []
        self.fault: Callable[[str, Ref | None], Any] = lambda verb, ref: None
        self.log = "log of {container}"

    @property
    def objects(self) -> dict[Ref, Manifest]:
        return self.server.objects

    async def _enter(self, verb: str, ref: Ref | None) -> None:
        found = self.fault(verb, ref)
        if asyncio.iscoroutine(found):
            await found
        if verb not in ("get", "list", "serves", "logs", "events") and ref is not None:
            self.writes.append((verb, ref))

    def put(self, manifest: Manifest) -> Manifest:
        """Have it there as a whole, whatever was there before; its uid tells its name."""
        new, ref = copy.deepcopy(manifest), ref_of(manifest)
        new["metadata"].setdefault("uid", f"uid-{ref.name}")
        self.server.store(new, self.server.get(ref))
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
        self.server.apply(manifest)
        return self.objects[ref]

    async def create(self, manifest: Manifest) -> Manifest:
        ref = ref_of(manifest)
        await self._enter("create", ref)
        self.server.create(manifest)
        return self.objects[ref]

    async def replace(self, manifest: Manifest) -> Manifest:
        ref = ref_of(manifest)
        await self._enter("replace", ref)
        self.server.replace(manifest)
        return self.objects[ref]

    async def replace_status(self, ref: Ref, version: str, status: Manifest) -> None:
        await self._enter("status", ref)
        self.server.replace_status(ref, version, status)

    async def annotate(self, ref: Ref, uid: str, annotations: dict[str, str | None]) -> None:
        await self._enter("annotate", ref)
        self.server.annotate(ref, uid, annotations)

    async def set_finalizers(self, ref: Ref, version: str, finalizers: tuple[str, ...]) -> None:
        await self._enter("finalizers", ref)
        self.server.set_finalizers(ref, version, finalizers)

    async def delete(self, ref: Ref, uid: str) -> None:
        await self._enter("delete", ref)
        self.server.delete(ref, uid)

    async def logs(self, namespace: str, pod: str, container: str, **_: Any) -> str:
        await self._enter("logs", None)
        return self.log.format(container=container)

    async def events(self, namespace: str, uid: str) -> Manifests:
        await self._enter("events", None)
        return []


def failing(error: KubeError, *verbs: str) -> Callable[[str, Ref | None], None]:
    """A fault that raises `error` for those verbs."""

    def fault(verb: str, ref: Ref | None) -> None:
        if verb in verbs:
            raise error

    return fault
