"""The Kubernetes API, as far as the operator uses it. Manifests are plain dictionaries.

Every method raises `KubeError` (`NotFound`, `Conflict`, `Invalid`, `Unavailable`). Writes that
replace or remove carry a guard, so that one based on a stale view fails instead of harming.
"""

from __future__ import annotations

from typing import Any

from tradepulse_operator.common.names import MANAGER
from tradepulse_operator.common.objects import Manifest, Ref, ref_of

from .errors import Conflict, Invalid, NotFound
from .http import Call, Transport
from .kinds import EVENT, Kind, collection, group_path, path

_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"
_PARTIAL = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_PARTIAL_OBJECT = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
#: Objects a page: bounds the memory of a listing in a big cluster.
_PAGE = 500

#: `list` is a verb of the API, and so a method below.
Manifests = list[Manifest]


class Kube:
    """The port. `transport` sends the requests."""

    def __init__(self, transport: Transport) -> None:
        self._send = transport

    async def get(self, target: Ref, *, metadata_only: bool = False) -> Manifest | None:
        """The object as it is now; None when it doesn't exist."""
        accept = f"{_PARTIAL_OBJECT}, application/json" if metadata_only else "application/json"
        try:
            return await self._send.json(
                Call("get", target.kind, "GET", path(target), accept=accept, idempotent=True)
            )
        except NotFound:
            return None

    async def list(
        self,
        kind: Kind,
        namespace: str | None,
        *,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> Manifests:
        """The objects of a kind now; None as namespace: of all of them.

        Objects of a list carry no apiVersion and kind of their own; they are filled in here.
        """
        params = {"limit": str(_PAGE)}
        params |= {"labelSelector": labels} if labels else {}
        params |= {"fieldSelector": fields} if fields else {}
        items: Manifests = []
        while True:
            page = await self._send.json(
                Call(
                    "list",
                    kind[1],
                    "GET",
                    collection(kind, namespace),
                    params,
                    accept=_PARTIAL if metadata_only else "application/json",
                    idempotent=True,
                )
            )
            items += [
                {**item, "apiVersion": kind[0], "kind": kind[1]} for item in page.get("items") or []
            ]
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return items
            params = {**params, "continue": token}

    async def serves(self, kind: Kind) -> bool:
        """Whether the API server knows `kind` (a CustomResourceDefinition may be missing)."""
        call = Call("discover", kind[1], "GET", group_path(kind[0]), idempotent=True)
        try:
            resources = await self._send.json(call)
        except NotFound:
            return False
        return any(item.get("kind") == kind[1] for item in resources.get("resources") or [])

    async def apply(self, manifest: Manifest) -> Manifest:
        """Server-side apply under the operator's field manager; takes over contested fields."""
        target = ref_of(manifest)
        params = {"fieldManager": MANAGER, "force": "true"}
        return await self._write(
            "apply", target, "PATCH", manifest, params=params, content_type=_APPLY
        )

    async def create(self, manifest: Manifest) -> Manifest:
        """Create; Conflict when the name is taken."""
        target = ref_of(manifest)
        where = collection((target.api_version, target.kind), target.namespace)
        params = {"fieldManager": MANAGER}
        return await self._send.json(Call("create", target.kind, "POST", where, params, manifest))

    async def replace(self, manifest: Manifest) -> Manifest:
        """Replace the whole object; its resourceVersion is the guard."""
        guard(manifest["metadata"].get("resourceVersion") or "")
        return await self._write("replace", ref_of(manifest), "PUT", manifest)

    async def replace_status(self, target: Ref, resource_version: str, status: Manifest) -> None:
        """Replace the status of a custom resource; Conflict when it changed meanwhile."""
        body = {
            "apiVersion": target.api_version,
            "kind": target.kind,
            "metadata": {
                "name": target.name,
                "namespace": target.namespace,
                "resourceVersion": guard(resource_version),
            },
            "status": status,
        }
        where = f"{path(target)}/status"
        params = {"fieldManager": MANAGER}
        await self._send.json(Call("status", target.kind, "PUT", where, params, body))

    async def annotate(self, target: Ref, uid: str, annotations: dict[str, str | None]) -> None:
        """Set annotations, remove those that are None. Conflict when it is another object now."""
        # A uid that differs makes the patch a change of an immutable field: the server refuses it.
        body = {"metadata": {"uid": guard(uid), "annotations": annotations}}
        try:
            await self._write("annotate", target, "PATCH", body, content_type=_MERGE)
        except Invalid as error:
            if "uid" in error.message.lower():
                raise Conflict(error.code, "UidChanged", error.message) from error
            raise

    async def set_finalizers(
        self, target: Ref, resource_version: str, finalizers: tuple[str, ...]
    ) -> None:
        """Replace the finalizers; Conflict when the object changed meanwhile."""
        body = {
            "metadata": {
                "resourceVersion": guard(resource_version),
                "finalizers": list(finalizers),
            }
        }
        await self._write("finalizers", target, "PATCH", body, content_type=_MERGE)

    async def delete(self, target: Ref, uid: str) -> None:
        """Delete this very object, gracefully. One that is gone already is fine.

        Conflict when another object has taken its name.
        """
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": guard(uid)},
            "propagationPolicy": "Background",
        }
        try:
            await self._write("delete", target, "DELETE", body, params={})
        except NotFound:
            return

    async def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        lines: int = 500,
        limit: int = 256 * 1024,
        previous: bool = False,
    ) -> str:
        """The last `lines` of a container's log, `limit` bytes at most."""
        params = {
            "container": container,
            "tailLines": str(lines),
            "limitBytes": str(limit),
            "previous": "true" if previous else "false",
            "timestamps": "true",
        }
        where = f"{collection(('v1', 'Pod'), namespace)}/{pod}/log"
        return await self._send.text(
            Call("logs", "Pod", "GET", where, params, accept="*/*", idempotent=True)
        )

    async def events(self, namespace: str, uid: str) -> Manifests:
        """The events about the object with that uid."""
        return await self.list(EVENT, namespace, fields=f"involvedObject.uid={uid}")

    async def _write(
        self,
        verb: str,
        target: Ref,
        method: str,
        body: Any,
        *,
        params: dict[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Manifest:
        params = {"fieldManager": MANAGER} if params is None else params
        call = Call(verb, target.kind, method, path(target), params, body, content_type)
        return await self._send.json(call)


def guard(value: str) -> str:
    """`value`, which must not be empty: an empty guard would guard nothing."""
    if not value:
        raise ValueError("a write without a uid or resourceVersion to guard it")
    return value
