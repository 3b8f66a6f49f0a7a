"""What every child shares: labels, owner, and a hash of what was applied."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.names import ANNOTATION_APPLIED, API_VERSION
from tradepulse_operator.common.objects import Manifest

from .labels import common


def owner(runner: TradingRunner) -> Manifest:
    """Reference by which a child is removed with its runner."""
    return {
        "apiVersion": API_VERSION,
        "kind": TradingRunner.KIND,
        "name": runner.metadata.name,
        "uid": runner.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def metadata(
    runner: TradingRunner,
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    owned: bool = True,
) -> Manifest:
    """Metadata of a child of `runner`; without an owner the child outlives it."""
    meta: Manifest = {
        "name": name,
        "namespace": runner.metadata.namespace,
        "labels": {**common(runner.metadata.name), **(labels or {})},
    }
    if owned:
        meta["ownerReferences"] = [owner(runner)]
    return meta


def digest(manifest: Manifest) -> str:
    """Hash of a manifest; equal for equal content whatever the order of its keys."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def seal(manifest: Manifest) -> Manifest:
    """`manifest` with its own hash as an annotation.

    A live child with another hash was applied from another manifest. That shows what a comparison
    of values can't: a field that is no longer wanted.
    """
    meta = manifest["metadata"]
    marks = {**meta.get("annotations", {}), ANNOTATION_APPLIED: digest(manifest)}
    return {**manifest, "metadata": {**meta, "annotations": marks}}
