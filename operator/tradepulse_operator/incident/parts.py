"""Evidence → the files of a report, each within its size."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from tradepulse_operator.guard import limits_file

from . import streams
from .charts import chart
from .evidence import Evidence
from .redact import redact, redact_values, shortened
from .samples import fit

_KIB = 1024
#: Bytes that a part may have, by its stage. Their sum is below 960 KiB, and so below what etcd
#: (1.5 MiB) and the API server (1 MiB of data in a ConfigMap) take.
LIMITS: Mapping[str, int] = {
    "report.md": 48 * _KIB,
    "cutover.json": 24 * _KIB,
    "samples.json": 160 * _KIB,
    "baseline-samples.json": 96 * _KIB,
    "chart.svg": 96 * _KIB,
    "limits.json": 2 * _KIB,
    "streams.json": 40 * _KIB,
    "queries.json": 16 * _KIB,
    "events.json": 40 * _KIB,
    "pod.json": 16 * _KIB,
    "config.diff": 32 * _KIB,
    "logs-runner.txt": 96 * _KIB,
    "logs-previous.txt": 40 * _KIB,
    "logs-state.txt": 16 * _KIB,
    "final-cutover.json": 24 * _KIB,
    "final-samples.json": 64 * _KIB,
    "final-events.json": 32 * _KIB,
    "final-streams.json": 32 * _KIB,
    "final-pod.json": 16 * _KIB,
    "final-logs-runner.txt": 48 * _KIB,
    "final-logs-state.txt": 8 * _KIB,
}


def collected(evidence: Evidence) -> dict[str, str]:
    """The parts of this stage, without the report itself; those of the final stage are prefixed.

    The final stage adds to what was collected while the failed release still ran; it replaces
    nothing of that.
    """
    raw: dict[str, str] = {
        "cutover.json": _json(_cutover(evidence)),
        "streams.json": streams.raw(evidence, _limit(evidence, "streams.json")),
    }
    if evidence.recording is not None:
        raw["samples.json"] = fit(evidence.recording, _limit(evidence, "samples.json"))[0]
    if evidence.events:
        raw["events.json"] = _items(evidence.events, _limit(evidence, "events.json"))
    if evidence.pod is not None:
        raw["pod.json"] = _json(_pod(evidence.pod))
    raw |= {
        f"logs-{name}.txt": shortened(text, _limit(evidence, f"logs-{name}.txt"))
        for name, text in evidence.logs.items()
        if text
    }
    if not evidence.final:
        raw["queries.json"] = _json(dict(evidence.queries))
        raw["limits.json"] = _json(limits_file.dump(evidence.limits)) if evidence.limits else ""
        raw["config.diff"] = _diff(evidence.configs)
        raw["chart.svg"] = _chart(evidence)
        if evidence.baseline is not None:
            limit = _limit(evidence, "baseline-samples.json")
            raw["baseline-samples.json"] = fit(evidence.baseline, limit)[0]
    prefix = "final-" if evidence.final else ""
    return {
        f"{prefix}{part}": bounded(_redacted(part, text), LIMITS[f"{prefix}{part}"])
        for part, text in raw.items()
        if text and f"{prefix}{part}" in LIMITS
    }


def _cutover(evidence: Evidence) -> dict[str, Any]:
    """The cutover; offsets are in streams.json."""
    manifest = evidence.cutover.wire()
    kafka = ((manifest.get("status") or {}).get("baseline") or {}).get("kafka") or {}
    kafka.pop("partitions", None)
    return manifest


def _chart(evidence: Evidence) -> str:
    """A picture is worth a lot, but not a report: samples that can't be drawn leave it out."""
    try:
        drawn = chart(evidence.cutover, evidence.recording, evidence.limits)
    except (ArithmeticError, ValueError):
        return ""
    return drawn if len(drawn.encode()) <= _limit(evidence, "chart.svg") else ""


def bounded(text: str, limit: int) -> str:
    """`text` in at most `limit` bytes of UTF-8; the end stays, and a first line says what went."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode()
    note = f"[truncated: the first {len(data) - limit + 100} of {len(data)} bytes left out]\n"
    return note + data[-(limit - 100) :].decode(errors="ignore")


def _redacted(part: str, text: str) -> str:
    """JSON stays JSON, in the layout it has: a report is read by programs, too."""
    if part.endswith(".svg"):
        return text  # numbers, and names that the schema bounds
    if not part.endswith(".json"):
        return redact(text)
    clean = redact_values(json.loads(text))
    if part.endswith(("samples.json", "streams.json")):
        return json.dumps(clean, separators=(",", ":"), ensure_ascii=False)
    return _json(clean)


def _limit(evidence: Evidence, part: str) -> int:
    """Bytes for the part at this stage; 0 where the stage has no such part."""
    return LIMITS.get(f"final-{part}" if evidence.final else part, 0)


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)


def _items(events: Iterable[Mapping[str, Any]], limit: int) -> str:
    """A JSON list of the newest items that fit; it stays JSON."""
    items = [_event(item) for item in events]
    items.sort(key=lambda item: str(item["at"]))
    while len(_json(items).encode()) > limit:
        items = items[len(items) // 4 + 1 :]
    return _json(items)


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    about = event.get("involvedObject") or {}
    return {
        "at": event.get("lastTimestamp")
        or event.get("eventTime")
        or (event.get("metadata") or {}).get("creationTimestamp")
        or "",
        "about": f"{about.get('kind')}/{about.get('name')}",
        "type": event.get("type"),
        "reason": event.get("reason"),
        "message": str(event.get("message") or "")[:2048],
        "count": event.get("count"),
    }


def _pod(pod: Mapping[str, Any]) -> dict[str, Any]:
    """The pod without its environment and mounts, where somebody may have put a secret."""
    meta = pod.get("metadata") or {}
    spec = pod.get("spec") or {}
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    return {
        "name": meta.get("name"),
        "uid": meta.get("uid"),
        "labels": meta.get("labels"),
        "annotations": meta.get("annotations"),
        "deletionTimestamp": meta.get("deletionTimestamp"),
        "node": spec.get("nodeName"),
        "images": {item.get("name"): item.get("image") for item in containers},
        "status": pod.get("status"),
    }


def _diff(configs: Mapping[str, str]) -> str:
    if "source" not in configs or "target" not in configs:
        return ""
    lines = difflib.unified_diff(
        configs["source"].splitlines(), configs["target"].splitlines(), "source", "target", n=3
    )
    return "\n".join((*lines, "")) or "the configuration of both releases is the same\n"
