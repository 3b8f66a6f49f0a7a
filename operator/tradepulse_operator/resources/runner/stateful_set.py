"""The StatefulSet: at most one pod, which only the operator's own decision replaces."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.names import (
    ANNOTATION_CONFIGS,
    ANNOTATION_KILL_SWITCH,
    ANNOTATION_TRADING,
)
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.resources.desired_run import DesiredRun
from tradepulse_operator.resources.labels import of_pod, selector
from tradepulse_operator.resources.manifest import metadata, seal

from .pod_spec import pod_spec

#: All annotations of an object share 256 KiB.
_LONGEST_COPY = 200 * 1024


def stateful_set(runner: TradingRunner, intent: DesiredRun, configs: Mapping[str, str]) -> Manifest:
    """The StatefulSet for `intent`; `configs`: hash → text of configurations to keep a copy of.

    OnDelete, because RollingUpdate can't leave a revision that never becomes ready
    (kubernetes#67250), and because replacing the pod is a decision of the cutover.
    """
    name = runner.metadata.name
    meta = metadata(runner, name)
    meta["annotations"] = _copies(configs)
    return seal(
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": meta,
            "spec": {
                "replicas": intent.replicas,
                "serviceName": name,
                "podManagementPolicy": "OrderedReady",
                "updateStrategy": {"type": "OnDelete"},
                "revisionHistoryLimit": 5,
                "selector": {"matchLabels": selector(name)},
                "template": {
                    "metadata": {
                        "labels": of_pod(name, intent.release),
                        "annotations": orders(intent),
                    },
                    "spec": pod_spec(runner, intent),
                },
            },
        }
    )


def orders(intent: DesiredRun) -> dict[str, str]:
    """The operator's orders to the pod, as annotations; empty means trade.

    Always both, so that the operator owns them: another hand's order would outlast an absent one.
    """
    return {ANNOTATION_TRADING: intent.halt, ANNOTATION_KILL_SWITCH: intent.kill_switch}


def _copies(configs: Mapping[str, str]) -> dict[str, str]:
    """Copies of the configurations, as far as they fit: they are immutable, but not undeletable."""
    kept: dict[str, str] = {}
    room = _LONGEST_COPY
    for config_hash, text in sorted(configs.items(), key=lambda item: (len(item[1]), item[0])):
        room -= len(json.dumps(text).encode()) + 20
        if room > 0:
            kept[config_hash] = text
    return {ANNOTATION_CONFIGS: json.dumps(kept, sort_keys=True)} if kept else {}


def copies(manifest: Manifest) -> dict[str, str]:
    """The configurations that a live StatefulSet keeps a copy of; none when it was tampered with.

    The reader has to check each text against its hash.
    """
    annotations = manifest.get("metadata", {}).get("annotations") or {}
    try:
        texts = json.loads(annotations.get(ANNOTATION_CONFIGS) or "{}")
    except json.JSONDecodeError:
        return {}
    if not isinstance(texts, dict):
        return {}
    return {key: text for key, text in texts.items() if isinstance(text, str)}
