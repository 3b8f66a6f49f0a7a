"""Describes the runner's metrics for `docs/metrics.md`, as lines of JSON on standard output.

The form is that of ``Program`` in the operator's `codegen/metrics.py`, which makes the page; the
two share no code.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric

from tradepulse_runner.bus.metrics import ConsumerMetrics, PublisherMetrics, ReaderMetrics
from tradepulse_runner.config.bus import EventBusConfig
from tradepulse_runner.credentials.watch import CredentialMetrics
from tradepulse_runner.database.metrics import DatabaseMetrics
from tradepulse_runner.live.guard_watch import GuardMetrics
from tradepulse_runner.live.metrics import RunnerMetrics
from tradepulse_runner.live.watch_metrics import WatchMetrics
from tradepulse_runner.siem.forwarder import ForwardMetrics
from tradepulse_runner.store.uploads import UploadMetrics

_ALWAYS = "Always."
#: Nothing connects to it.
_BUS = EventBusConfig.model_construct(
    bootstrap_servers=["kafka:9093"], security_protocol="SSL", ssl_cafile=Path("ca.pem")
)
#: What is exported together: title, under which condition, and what registers it.
_SERVICES: tuple[tuple[str, str, Callable[[CollectorRegistry], object]], ...] = (
    ("alerts", _ALWAYS, lambda registry: WatchMetrics(registry, {})),
    ("guard", _ALWAYS, GuardMetrics),
    ("credentials", _ALWAYS, lambda registry: CredentialMetrics(registry, ())),
    (
        "event bus",
        "With an event bus: `spec.eventBus`, or `event_bus` in a configuration file.",
        lambda registry: PublisherMetrics(registry, _BUS),
    ),
    (
        "readers of the event bus",
        "With an event bus whose readers are named: `spec.eventBus.readers`.",
        ReaderMetrics,
    ),
    (
        "database",
        "With a database: `spec.database`, or `database` in a configuration file.",
        DatabaseMetrics,
    ),
    (
        "object store",
        "With an object store: `spec.state.backups.objectStore`, or `object_store` in a"
        " configuration file.",
        UploadMetrics,
    ),
    (
        "SIEM",
        "With a SIEM: `spec.admin.siem`, or `admin.siem` in a configuration file.",
        lambda registry: ForwardMetrics(registry, lambda: (0, 0.0)),
    ),
)


def describe() -> list[dict[str, Any]]:
    """Every metric of the trading process, and those of a process that reads the topics."""
    consumer = CollectorRegistry()
    ConsumerMetrics(consumer, ())
    return [
        {
            "title": "Runner",
            "endpoint": (
                "At `/metrics` of port 9000 (`metrics.port` in a configuration file); the operator"
                " makes a ServiceMonitor for it. On Linux the client library adds `process_*`: CPU"
                " time, memory, file descriptors and start of the process."
            ),
            "groups": [
                _group("trading loop", _ALWAYS, _own(RunnerMetrics(()).registry)),
                *(_service(*each) for each in _SERVICES),
            ],
        },
        {
            "title": "Consumer",
            "endpoint": (
                "At `/metrics` of the `--metrics-port` of `tradepulse-runner bus record`, or of"
                " another process that reads the topics with"
                " `tradepulse_runner.bus.consumer.Consumer`."
            ),
            "groups": [_group("topics", _ALWAYS, _own(consumer))],
        },
    ]


def _service(
    title: str, exported: str, register: Callable[[CollectorRegistry], object]
) -> dict[str, Any]:
    registry = CollectorRegistry()
    register(registry)
    return _group(title, exported, _own(registry))


def _group(title: str, exported: str, series: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {"title": title, "exported": exported, "series": list(series)}


def _own(registry: CollectorRegistry) -> Iterator[dict[str, Any]]:
    """What the runner's modules registered, also what has no sample yet."""
    # The client library offers the names of labels nowhere in public.
    for each in registry._collector_to_names:
        if isinstance(each, MetricWrapperBase):
            yield from (_series(family, each._labelnames) for family in each.describe())


def _series(family: Metric, labels: Iterable[str]) -> dict[str, Any]:
    """`family` under the name that it is queried by."""
    name = f"{family.name}_total" if family.type == "counter" else family.name
    about = family.documentation
    return {"name": name, "type": family.type, "labels": list(labels), "help": about}


if __name__ == "__main__":
    sys.stdout.writelines(f"{json.dumps(each)}\n" for each in describe())
