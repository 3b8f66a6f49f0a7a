"""An object of the API: its manifest, and the reference by which it is found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Ref:
    """One object in the API. `api_version` and `kind` as in its manifest."""

    api_version: str
    kind: str
    namespace: str
    name: str


def ref_of(manifest: Manifest) -> Ref:
    """The reference of a manifest."""
    meta = manifest["metadata"]
    return Ref(manifest["apiVersion"], manifest["kind"], meta["namespace"], meta["name"])
