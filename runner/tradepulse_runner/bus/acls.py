"""Kafka ACLs for a configuration, as ``kafka-acls`` commands: literal names, no wildcard.

A runner writes to the topics of its streams and describes them and the groups of ``readers``. A
consumer reads the topics and their ``.retry`` topics as one group, and writes to ``.retry`` and
``.dlq``. An idempotent producer needs no cluster permission from Kafka 3.0 on (KIP-679).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from tradepulse_runner.config.bus import EventBusConfig, dead_topic, retry_topic
from tradepulse_runner.errors import ConfigError

#: Names of a subject's parts as the JVM writes them (RFC 2253); others are numbers there.
_NAMES: dict[ObjectIdentifier, str] = {
    NameOID.COMMON_NAME: "CN",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.COUNTRY_NAME: "C",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.LOCALITY_NAME: "L",
    NameOID.DOMAIN_COMPONENT: "DC",
    NameOID.USER_ID: "UID",
    NameOID.STREET_ADDRESS: "STREET",
}


def principal(config: EventBusConfig) -> str:
    """The runner's Kafka principal, from its certificate. Raises :class:`ConfigError`."""
    path = config.ssl_certfile
    if config.security_protocol != "SSL" or path is None:
        raise ConfigError(
            "event_bus.security_protocol is SASL_SSL, where the user's name is a secret of its own;"
            " remedy: give --principal User:NAME"
        )
    try:
        certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a PEM certificate"
        raise ConfigError(
            f"event_bus.ssl_certfile: {path}: {why}; remedy: provide the PEM, or give --principal"
        ) from None
    return f"User:{certificate.subject.rfc4514_string(_NAMES)}"


def commands(
    config: EventBusConfig, who: str, *, reader: str | None = None, extra: Sequence[str] = ()
) -> list[str]:
    """``kafka-acls`` commands for the principal ``who`` and for the consumer ``reader``. ``extra``
    arguments are added to each, e.g. ``--command-config FILE``. Raises :class:`ConfigError`."""
    if not re.fullmatch(r"User:[^*\n]+", who) or (reader and "*" in reader):
        raise ConfigError(f"--principal {who!r} is not User:NAME of one; remedy: name one user")
    topics = [config.topic(stream) for stream in sorted(config.publish)]
    lines = [_allow(config, who, ("Write", "Describe"), topics, extra)]
    if config.readers:
        lines.append(_allow(config, who, ("Describe",), (), extra, groups=config.readers))
    if reader is not None:
        read = [name for topic in topics for name in (topic, retry_topic(topic))]
        write = [make(topic) for topic in topics for make in (retry_topic, dead_topic)]
        lines += [
            _allow(config, reader, ("Read", "Describe"), read, extra, groups=[config.group]),
            _allow(config, reader, ("Write", "Describe"), write, extra),
        ]
    return lines


def _allow(
    config: EventBusConfig,
    who: str,
    operations: Iterable[str],
    topics: Iterable[str],
    extra: Sequence[str],
    groups: Iterable[str] = (),
) -> str:
    words = [
        *("kafka-acls", "--bootstrap-server", ",".join(config.bootstrap_servers), *extra),
        *("--add", "--allow-principal", who, "--resource-pattern-type", "literal"),
        *(word for operation in operations for word in ("--operation", operation)),
        *(word for topic in topics for word in ("--topic", topic)),
        *(word for group in groups for word in ("--group", group)),
    ]
    return shlex.join(words)
