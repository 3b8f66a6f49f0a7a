"""The runner's object store: its part of the configuration, and the Secrets that it needs."""

from __future__ import annotations

from typing import Any

from tradepulse_operator.api.runner import TradingRunnerSpec
from tradepulse_operator.common.names import SECRETS_DIR

#: Folders of SECRETS_DIR.
CREDENTIALS, AUTHORITIES = "object-store", "object-store-ca"


def config(spec: TradingRunnerSpec) -> dict[str, Any]:
    """Key of `runner.yaml`; nothing without an object store, so that no old runner is new."""
    store = spec.state.backups.object_store
    if store is None:
        return {}
    ca_file = f"{SECRETS_DIR}/{AUTHORITIES}/ca.crt" if store.ca_secret else None
    return {
        "object_store": {
            "endpoint": store.endpoint,
            "bucket": store.bucket,
            "region": store.region,
            "prefix": store.prefix,
            "credentials_dir": f"{SECRETS_DIR}/{CREDENTIALS}",
            "ca_file": ca_file,
        }
    }


def secrets(spec: TradingRunnerSpec) -> dict[str, str]:
    """Secret by folder of SECRETS_DIR."""
    store = spec.state.backups.object_store
    if store is None:
        return {}
    names = {CREDENTIALS: store.credentials_secret}
    return names | ({AUTHORITIES: store.ca_secret} if store.ca_secret else {})
