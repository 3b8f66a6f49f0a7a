"""The Kafka that a runner publishes its events to."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from tradepulse_operator.api.base import Model, distinct, matches, required, rule
from tradepulse_operator.api.units import ObjectName

_LABEL = "[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?"
_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
Server = Annotated[
    str,
    Field(max_length=259),
    matches(
        rf"^{_LABEL}([.]{_LABEL})*:{_PORT}$",
        "not a broker: write HOST:PORT, e.g. kafka-0.kafka.example.com:9093",
    ),
]
TopicPrefix = Annotated[
    str,
    Field(max_length=128),
    matches(
        r"^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$",
        "not the beginning of a topic: write letters, digits, '-', '_' and '.', e.g. tradepulse",
    ),
]

Group = Annotated[
    str,
    Field(max_length=128),
    matches(
        r"^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$",
        "not the name of a consumer group: write letters, digits, '-', '_' and '.', e.g."
        " settlement",
    ),
]


class Stream(StrEnum):
    """A topic that can be published."""

    TICKS = "market.ticks"
    BARS = "market.bars"
    SIGNALS = "signals.generated"
    ORDERS = "execution.orders"
    FILLS = "execution.fills"


_SERVERS = distinct("brokers must be different: remove the one that is listed twice")
_STREAMS = distinct("streams must be different: remove the one that is listed twice")
_GROUPS = distinct("readers must be different: remove the group that is listed twice")


class EventBus(Model):
    """Kafka brokers. While they are down nothing waits for them: events published then wait on the
    state volume."""

    cel = (
        rule(
            "(self.securityProtocol == 'SASL_SSL') == has(self.saslSecret)",
            "saslSecret belongs to securityProtocol SASL_SSL: name the Secret that holds"
            " KAFKA_API_KEY and KAFKA_API_SECRET there, and remove it with SSL",
            ".saslSecret",
            holds=lambda it: (it.security_protocol == "SASL_SSL") == (it.sasl_secret is not None),
            needs=["securityProtocol"],
        ),
        rule(
            "(self.securityProtocol == 'SASL_SSL') == has(self.saslMechanism)",
            "saslMechanism belongs to securityProtocol SASL_SSL: write e.g. SCRAM-SHA-512 there,"
            " and remove it with SSL",
            ".saslMechanism",
            holds=lambda it: (
                (it.security_protocol == "SASL_SSL") == (it.sasl_mechanism is not None)
            ),
            needs=["securityProtocol"],
        ),
    )

    bootstrap_servers: Annotated[
        tuple[Server, ...], Field(min_length=1, max_length=16), _SERVERS
    ] = Field(
        description="Brokers, HOST:PORT; list every port that brokers advertise, the network policy"
        " lets out these alone.",
        json_schema_extra=required("list the brokers, e.g. kafka-0.kafka.example.com:9093"),
    )
    security_protocol: Literal["SSL", "SASL_SSL"] = Field(
        description="SSL: the runner's certificate says who it is; SASL_SSL: a user and password."
        " There is no connection without TLS.",
        json_schema_extra=required("write SSL or SASL_SSL"),
    )
    tls_secret: ObjectName = Field(
        description="Secret with ca.crt, the authorities that brokers are believed by, and, with"
        " SSL, tls.crt and tls.key; mounted as files, never read by the operator.",
        json_schema_extra=required("name the Secret that holds ca.crt, and tls.crt and tls.key"),
    )
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] | None = Field(
        default=None, description="How the password is shown, with SASL_SSL."
    )
    sasl_secret: ObjectName | None = Field(
        default=None,
        description="Secret with KAFKA_API_KEY (the user) and KAFKA_API_SECRET, with SASL_SSL.",
    )
    topic_prefix: TopicPrefix = Field(
        default="tradepulse", description="Beginning of the topics' names, before the stream's."
    )
    publish: Annotated[tuple[Stream, ...], Field(min_length=1, max_length=5), _STREAMS] = Field(
        default=tuple(Stream),
        description="Events that are published, a topic each; market.bars needs no market.ticks.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    readers: Annotated[tuple[Group, ...], Field(max_length=8), _GROUPS] = Field(
        default=(),
        description="Consumer groups that read the events; the runner asks the brokers how far"
        " they are.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    outbox_mebibytes: Annotated[int, Field(ge=1, le=16_384)] = Field(
        default=64,
        description="What may wait on the state volume, in MiB: ticks, bars and signals take half"
        " of it at most.",
    )

    @property
    def ports(self) -> set[int]:
        """Where brokers listen."""
        return {int(server.rpartition(":")[2]) for server in self.bootstrap_servers}
