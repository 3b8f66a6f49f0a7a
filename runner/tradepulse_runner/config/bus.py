"""The configuration's ``event_bus``: brokers, TLS, authentication and topics.

Secrets are in files, never here. Connections are always encrypted and authenticated: there is no
PLAINTEXT, and SSL without a client certificate would be User:ANONYMOUS, which no ACL should allow.
"""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

Mechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]


class Stream(StrEnum):
    """Streams that are published, each to its topic ``<topic_prefix>.<value>``."""

    TICKS = "market.ticks"
    BARS = "market.bars"
    SIGNALS = "signals.generated"
    ORDERS = "execution.orders"
    FILLS = "execution.fills"

    @property
    def critical(self) -> bool:
        """Whether events are accepted until the outbox is full; others only up to half of it."""
        return self in (Stream.ORDERS, Stream.FILLS)


def _server(text: str) -> str:
    host, colon, port = text.rpartition(":")
    good = bool(colon) and port.isdecimal() and 0 < int(port) < 65_536 and _host(host)
    if not good:
        raise ValueError(f"{text!r} is not HOST:PORT, e.g. kafka-0.example.com:9093")
    return text


def _host(text: str) -> bool:
    if text.startswith("[") and text.endswith("]"):
        try:
            return ipaddress.ip_address(text[1:-1]).version == 6
        except ValueError:
            return False
    return bool(text) and all(part.replace("-", "").isalnum() for part in text.split("."))


Server = Annotated[str, StringConstraints(max_length=260), AfterValidator(_server)]
# As Kafka has them; a prefix is followed by the stream and by .retry or .dlq.
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]


def _once(names: list[str]) -> list[str]:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{twice[0]!r} is listed twice: remove one")
    return names


class EventBusConfig(BaseModel):
    """How the brokers are reached; unknown keys refused, values frozen.

    ``ssl_cafile`` (PEM): CA certificates to verify the brokers; the system's are not used.
    ``ssl_certfile``, ``ssl_keyfile`` (PEM): our own certificate. ``sasl_credentials_dir`` holds
    ``KAFKA_API_KEY`` (the user) and ``KAFKA_API_SECRET``; else environment variables of these
    names. ``publish``: streams to publish. ``group``: of the consumers. ``readers``: groups
    whose lag is monitored. ``outbox_max_bytes``: maximum size of the outbox on the state volume.
    ``tick_interval``: seconds between two samples of each price; an unchanged price isn't
    published.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bootstrap_servers: Annotated[list[Server], Field(min_length=1, max_length=32)]
    security_protocol: Literal["SSL", "SASL_SSL"]
    ssl_cafile: Path
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    sasl_mechanism: Mechanism | None = None
    sasl_credentials_dir: Path | None = None
    topic_prefix: Word = "tradepulse"
    group: Word = "tradepulse.recorder"
    readers: Annotated[list[Word], Field(max_length=8), AfterValidator(_once)] = []
    publish: Annotated[frozenset[Stream], Field(min_length=1)] = frozenset(Stream)
    outbox_max_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 34)] = 64 << 20
    tick_interval: Annotated[float, Field(ge=0.01, le=60)] = 0.25

    @model_validator(mode="after")
    def _fit_together(self) -> EventBusConfig:
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            missing, there = ("ssl_keyfile", "ssl_certfile")
            if self.ssl_certfile is None:
                missing, there = there, missing
            value = self.ssl_keyfile or self.ssl_certfile
            raise ValueError(f"{there} is {str(value)!r} without {missing}: set both or none")
        if self.security_protocol == "SASL_SSL" and self.sasl_mechanism is None:
            raise ValueError(
                "security_protocol is 'SASL_SSL' without sasl_mechanism: set e.g. SCRAM-SHA-512"
            )
        if self.security_protocol == "SSL":
            self._by_certificate_alone()
        return self

    def _by_certificate_alone(self) -> None:
        if self.ssl_certfile is None:
            raise ValueError(
                "security_protocol is 'SSL' without ssl_certfile and ssl_keyfile: set both, or the"
                " brokers don't know who asks and no ACL can allow it"
            )
        for name in ("sasl_mechanism", "sasl_credentials_dir"):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"{name} is {str(getattr(self, name))!r} with security_protocol 'SSL': remove"
                    " it, or set security_protocol to SASL_SSL"
                )

    def topic(self, stream: Stream) -> str:
        """The topic of ``stream``."""
        return f"{self.topic_prefix}.{stream}"


def retry_topic(topic: str) -> str:
    """Topic for events whose handling failed and is retried."""
    return f"{topic}.retry"


def dead_topic(topic: str) -> str:
    """Dead-letter topic for events whose last attempt failed."""
    return f"{topic}.dlq"
