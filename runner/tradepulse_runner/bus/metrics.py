"""Series of the event bus; there only where one is configured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from tradepulse_runner.config.bus import EventBusConfig, Stream

OUTCOMES = ("produced", "acked", "failed", "dropped")


class PublisherMetrics:
    """What is told. ``produced``: handed to the client, once more for each attempt; ``acked``: the
    in-sync replicas have it; ``failed``: an attempt that will be repeated; ``dropped``: lost."""

    def __init__(self, registry: CollectorRegistry, config: EventBusConfig) -> None:
        self.up = Gauge(
            "tradepulse_bus_up", "1 while the brokers take what is told.", registry=registry
        )
        self.depth = Gauge(
            "tradepulse_bus_outbox_depth",
            "Events that the brokers don't have yet.",
            registry=registry,
        )
        self.bytes = Gauge(
            "tradepulse_bus_outbox_bytes", "What the outbox takes on the volume.", registry=registry
        )
        self.limit = Gauge(
            "tradepulse_bus_outbox_limit_bytes", "What it may take.", registry=registry
        )
        self.limit.set(config.outbox_max_bytes)
        self.age = Gauge(
            "tradepulse_bus_outbox_age_seconds",
            "How long the oldest event has waited.",
            registry=registry,
        )
        self.events = Counter(
            "tradepulse_bus_events",
            "Events by topic, and what became of them.",
            ["topic", "outcome"],
            registry=registry,
        )
        for stream in Stream:
            if stream in config.publish:
                for outcome in OUTCOMES:
                    self.events.labels(config.topic(stream), outcome)


class ReaderMetrics:
    """How far others are with what is told, as the brokers know it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.lag = Gauge(
            "tradepulse_bus_reader_lag",
            "Messages that a group has not committed yet, where it has committed at all.",
            ["group", "topic"],
            registry=registry,
        )

    def show(self, lags: Mapping[tuple[str, str], int]) -> None:
        """By group and topic; of others nothing is known now."""
        self.lag.clear()
        for (group, topic), lag in lags.items():
            self.lag.labels(group, topic).set(lag)


class ConsumerMetrics:
    """What is read, by topic."""

    def __init__(self, registry: CollectorRegistry, topics: Iterable[str]) -> None:
        self.lag = Gauge(
            "tradepulse_bus_consumer_lag",
            "Messages that are there and not handled yet.",
            ["topic", "partition"],
            registry=registry,
        )
        self.handled = Counter(
            "tradepulse_bus_consumed",
            "Messages by what became of them; repeated: it was handled before.",
            ["topic", "outcome"],
            registry=registry,
        )
        for topic in topics:
            for outcome in ("handled", "repeated", "retried", "dead"):
                self.handled.labels(topic, outcome)
