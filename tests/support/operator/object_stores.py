"""An object store of a runner, and the Secrets that its pod mounts."""

from __future__ import annotations

from tests.support.operator.runners import intent_of
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.resources.runner.pod_spec import pod_spec

STORE = {
    "endpoint": "https://s3.example.com:7070",
    "bucket": "backups",
    "prefix": "desk",
    "credentialsSecret": "backup-key",
    "caSecret": "backup-ca",
}


def mounted(owner: TradingRunner, release_of: TradingRunner | None = None) -> dict[str, str]:
    """Secret by the folder it is mounted at."""
    spec = pod_spec(owner, intent_of(release_of or owner))
    names = {v["name"]: v["secret"]["secretName"] for v in spec["volumes"] if "secret" in v}
    (container,) = spec["containers"]
    return {
        m["mountPath"]: names[m["name"]] for m in container["volumeMounts"] if m["name"] in names
    }
