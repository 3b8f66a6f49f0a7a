"""Metrics of the event bus, registered only where one is configured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from tradepulse_runner.config.bus import EventBusConfig, Stream

OUTCOMES = ("produced", "acked", "failed", "dropped")


class PublisherMetrics:
    """Publishing. ``produced``: handed to the client, once more for each attempt; ``acked``: the
    in-sync replicas have it; ``failed``: an attempt that will be repeated; ``dropped``: lost."""

    def __init__(self, registry: CollectorRegistry, config: EventBusConfig) -> None:
        self.up = Gauge(
            "tradepulse_bus_up", "1 while the brokers accept events.", registry=registry
        )
        self.depth = Gauge(
            "tradepulse_bus_outbox_depth",
            "Events in the outbox that the brokers have not acknowledged.",
            registry=registry,
        )
        self.bytes = Gauge(
            "tradepulse_bus_outbox_bytes",
            "Size of the outbox on the state volume.",
            registry=registry,
        )
        self.limit = Gauge(
            "tradepulse_bus_outbox_limit_bytes",
            "Configured maximum size of the outbox.",
            registry=registry,
        )
        self.limit.set(config.outbox_max_bytes)
        self.age = Gauge(
            "tradepulse_bus_outbox_age_seconds",
            "Age of the oldest event in the outbox.",
            registry=registry,
        )
        self.events = Counter(
            "tradepulse_bus_events",
            "Events by topic: produced (each attempt), acked by all in-sync replicas,"
            " failed (an attempt that is retried), dropped (lost).",
            ["topic", "outcome"],
            registry=registry,
        )
        for stream in Stream:
            if stream in config.publish:
                for outcome in OUTCOMES:
                    self.events.labels(config.topic(stream), outcome)


class ReaderMetrics:
    """How far consumer groups have read the runner's topics, as the brokers know it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.lag = Gauge(
            "tradepulse_bus_reader_lag",
            "Messages that a consumer group has not committed; no series before its first commit.",
            ["group", "topic"],
            registry=registry,
        )

    def show(self, lags: Mapping[tuple[str, str], int]) -> None:
        """`lags` by group and topic; every other series ends."""
        self.lag.clear()
        for (group, topic), lag in lags.items():
            self.lag.labels(group, topic).set(lag)


class ConsumerMetrics:
    """Consumption, by topic."""

    def __init__(self, registry: CollectorRegistry, topics: Iterable[str]) -> None:
        self.lag = Gauge(
            "tradepulse_bus_consumer_lag",
            "Messages of a partition that this consumer has not processed.",
            ["topic", "partition"],
            registry=registry,
        )
        self.handled = Counter(
            "tradepulse_bus_consumed",
            "Messages consumed: handled, repeated (a duplicate, skipped), retried, or"
            " dead (sent to the dead-letter topic).",
            ["topic", "outcome"],
            registry=registry,
        )
        for topic in topics:
            for outcome in ("handled", "repeated", "retried", "dead"):
                self.handled.labels(topic, outcome)
