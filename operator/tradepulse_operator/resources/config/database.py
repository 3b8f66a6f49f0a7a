"""The runner's database: its part of the configuration, and the Secret that it needs."""

from __future__ import annotations

from typing import Any

from tradepulse_operator.api.runner import TradingRunnerSpec
from tradepulse_operator.common.names import SECRETS_DIR

#: Folder of SECRETS_DIR.
FOLDER = "database"


def config(spec: TradingRunnerSpec) -> dict[str, Any]:
    """Key of `runner.yaml`; nothing without a database, so that no old runner is new."""
    database = spec.database
    if database is None:
        return {}
    return {
        "database": {
            "hosts": list(database.hosts),
            "name": database.name,
            "user": database.user,
            "ca_file": f"{SECRETS_DIR}/{FOLDER}/ca.crt",
            "cert_file": f"{SECRETS_DIR}/{FOLDER}/tls.crt",
            "key_file": f"{SECRETS_DIR}/{FOLDER}/tls.key",
        }
    }


def secrets(spec: TradingRunnerSpec) -> dict[str, str]:
    """Secret by folder of SECRETS_DIR."""
    return {FOLDER: spec.database.tls_secret} if spec.database else {}
