"""Evidence → the ConfigMap that is the incident report.

It belongs to nobody, so it outlives the cutover and the runner. It is filed twice: while the failed
release still exists (`evidence`), and when the outcome is known (`final`); the second time adds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.untrusted import parse
from tradepulse_operator.common.names import (
    GROUP,
    LABEL_CUTOVER,
    LABEL_MANAGED_BY,
    LABEL_RUNNER,
    MANAGER,
    incident_name,
)
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.common.time import timestamp

from .chain import extend
from .evidence import Evidence
from .markdown import render
from .parts import LIMITS, bounded, collected
from .redact import redact

ANNOTATION_STAGE = f"{GROUP}/report-stage"
ANNOTATION_UID = f"{GROUP}/cutover-uid"
ANNOTATION_HEAD = f"{GROUP}/report-head"
MANIFEST = "manifest.json"
REPORT = "report.md"
_LONGEST_LABEL = 63


def stage(report: Mapping[str, Any] | None, uid: str) -> str:
    """How far the report on the cutover with that uid is: "", evidence or final.

    A report on an earlier cutover of the same name is not this one's.
    """
    meta = (report or {}).get("metadata") or {}
    marks = meta.get("annotations") or {}
    return str(marks.get(ANNOTATION_STAGE) or "") if marks.get(ANNOTATION_UID) == uid else ""


@dataclass(frozen=True)
class Filed:
    """What the operator filed: the stage, and the newest hash of its chain."""

    stage: str = ""
    head: str = ""


def filed(
    report: Mapping[str, Any] | None, cutover: ReleaseCutover, last: Filed | None = None
) -> Filed:
    """What of `report`, the ConfigMap of that name, this operator filed. `last`: what this process
    filed last, which may not be in the status yet.

    Whoever may create ConfigMaps can have one of that name and with those annotations there first:
    it counts only with a hash that the operator itself has noted.
    """
    record = cutover.status.report
    known = Filed(record.stage, record.head) if record and record.head else None
    marks = ((report or {}).get("metadata") or {}).get("annotations") or {}
    for one in (last, known):
        if one and marks.get(ANNOTATION_HEAD) == one.head:
            return one
    if record and not record.head:  # filed by an operator of before
        return Filed(stage(report, cutover.metadata.uid))
    return Filed()


def build(evidence: Evidence, previous: Mapping[str, Any] | None = None) -> Manifest:
    """The report's ConfigMap; `previous`: the one filed before, as it is in the API."""
    if not stage(previous, evidence.cutover.metadata.uid):
        previous = None
    old = {
        name: text
        for name, text in ((previous or {}).get("data") or {}).items()
        if name in LIMITS and name != REPORT
    }
    parts = {**old, **collected(evidence)}
    before = _manifest(previous)
    prefix = "final-" if evidence.final else ""
    lacks = {f"{prefix}{part}": redact(why) for part, why in evidence.missing.items()}
    missing = before["missing"] | lacks
    parts[REPORT] = bounded(render(evidence, parts, missing), LIMITS[REPORT])
    links = extend(before["links"], evidence.stage, parts)
    head = links[-1]["chain"] if links else ""
    manifest = {"at": timestamp(evidence.at), "head": head, "links": links, "missing": missing}
    parts[MANIFEST] = json.dumps(manifest, indent=1)
    return _config_map(evidence.cutover, Filed(evidence.stage, head), parts)


def head(report: Mapping[str, Any]) -> str:
    """The newest hash of a report's chain, to be noted elsewhere."""
    return str(json.loads(report["data"][MANIFEST])["head"])


def _manifest(previous: Mapping[str, Any] | None) -> dict[str, Any]:
    text = ((previous or {}).get("data") or {}).get(MANIFEST)
    try:
        manifest = parse(text, len(text)) if text else {"links": [], "missing": {}}
        keys = ("part", "sha256", "chain")
        links = [{**link, **{key: str(link[key]) for key in keys}} for link in manifest["links"]]
        return {"links": links, "missing": {str(k): str(v) for k, v in manifest["missing"].items()}}
    except (AttributeError, LookupError, TypeError, ValueError):
        # Somebody changed it: that chain proves nothing any more, so a new one begins.
        return {"links": [], "missing": {}}


def _config_map(cutover: ReleaseCutover, filed_head: Filed, data: Mapping[str, str]) -> Manifest:
    meta = cutover.metadata
    name = meta.name if len(meta.name) <= _LONGEST_LABEL else meta.uid
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": incident_name(meta.name),
            "namespace": meta.namespace,
            "labels": {
                LABEL_MANAGED_BY: MANAGER,
                LABEL_RUNNER: cutover.spec.runner,
                LABEL_CUTOVER: name,
            },
            "annotations": {
                ANNOTATION_STAGE: filed_head.stage,
                ANNOTATION_HEAD: filed_head.head,
                ANNOTATION_UID: meta.uid,
            },
        },
        "data": dict(data),
    }
