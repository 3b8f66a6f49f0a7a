"""The runner's event bus: its part of the configuration, and the Secrets that it needs."""

from __future__ import annotations

from typing import Any

from tradepulse_operator.api.runner import TradingRunnerSpec
from tradepulse_operator.common.names import SECRETS_DIR

#: Folders of SECRETS_DIR.
TLS, SASL = "event-bus-tls", "event-bus-sasl"


def config(spec: TradingRunnerSpec) -> dict[str, Any]:
    """Key of `runner.yaml`; nothing without an event bus, so that no old runner is new."""
    bus = spec.event_bus
    if bus is None:
        return {}
    result: dict[str, Any] = {
        "bootstrap_servers": list(bus.bootstrap_servers),
        "security_protocol": bus.security_protocol,
        "ssl_cafile": f"{SECRETS_DIR}/{TLS}/ca.crt",
        "topic_prefix": bus.topic_prefix,
        "publish": [stream.value for stream in bus.publish],
        "outbox_max_bytes": bus.outbox_mebibytes << 20,
    }
    if bus.readers:  # else left out: a release that doesn't know them goes on
        result["readers"] = list(bus.readers)
    if bus.sasl_secret:
        result["sasl_mechanism"] = bus.sasl_mechanism
        result["sasl_credentials_dir"] = f"{SECRETS_DIR}/{SASL}"
    else:
        result["ssl_certfile"] = f"{SECRETS_DIR}/{TLS}/tls.crt"
        result["ssl_keyfile"] = f"{SECRETS_DIR}/{TLS}/tls.key"
    return {"event_bus": result}


def secrets(spec: TradingRunnerSpec) -> dict[str, str]:
    """Secret by folder of SECRETS_DIR."""
    bus = spec.event_bus
    if bus is None:
        return {}
    return {TLS: bus.tls_secret} | ({SASL: bus.sasl_secret} if bus.sasl_secret else {})
