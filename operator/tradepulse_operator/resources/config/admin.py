"""The runner's admin surface: its part of the configuration, its Secrets, and who may reach it.

What the pod gets follows the release, not the spec: a rollback to one that has the surface finds
its Secrets and variables, and one to a release without it leaves none behind.
"""

from __future__ import annotations

from typing import Any

from tradepulse_operator.api.release import Release
from tradepulse_operator.api.runner import TradingRunner, TradingRunnerSpec
from tradepulse_operator.api.spec.admin import Admin, Peer
from tradepulse_operator.common.names import ADMIN_PORT, SECRETS_DIR

#: Folders of SECRETS_DIR.
TLS, AUDIT, JWKS, CLIENT_CA = "admin-tls", "admin-audit", "admin-jwks", "admin-client-ca"
SIEM, SIEM_CA = "admin-siem", "admin-siem-ca"
#: Variable by the folder whose file `secret` it names.
_VARIABLES = {
    AUDIT: "TRADEPULSE_AUDIT_SECRET_PATH",
    SIEM: "TRADEPULSE_SIEM_CLIENT_SECRET_PATH",
}
_INTERVAL = "TRADEPULSE_SECRET_REFRESH_INTERVAL_SECONDS"


def config(spec: TradingRunnerSpec) -> dict[str, Any]:
    """Key of `runner.yaml`; nothing without the surface, so that no old runner is new."""
    admin = spec.admin
    if admin is None:
        return {}
    tls = {"certificate": _file(TLS, "tls.crt"), "key": _file(TLS, "tls.key")}
    result: dict[str, Any] = {"host": "0.0.0.0", "port": ADMIN_PORT, "tls": tls}
    return {"admin": result | _oauth(admin) | _mtls(admin) | _siem(admin)}


def _oauth(admin: Admin) -> dict[str, Any]:
    if admin.oauth is None:
        return {}
    return {
        "oauth": {
            "issuer": admin.oauth.issuer,
            "audience": admin.oauth.audience,
            "jwks": _file(JWKS, "jwks.json"),
            "name_claim": admin.oauth.name_claim,
        }
    }


def _mtls(admin: Admin) -> dict[str, Any]:
    if admin.mtls is None:
        return {}
    clients = [
        {"subject": client.subject, "scopes": [scope.value for scope in client.scopes]}
        for client in admin.mtls.clients
    ]
    return {"mtls": {"client_ca": _file(CLIENT_CA, "ca.crt"), "clients": clients}}


def _siem(admin: Admin) -> dict[str, Any]:
    siem = admin.siem
    if siem is None:
        return {}
    result = {
        "endpoint": siem.endpoint,
        "token_url": siem.token_url,
        "client_id": siem.client_id,
        "scope": siem.scope or "",
    }
    return {"siem": result | ({"ca_file": _file(SIEM_CA, "ca.crt")} if siem.ca_secret else {})}


def secrets(spec: TradingRunnerSpec) -> dict[str, str]:
    """Secret by folder of SECRETS_DIR."""
    admin = spec.admin
    if admin is None:
        return {}
    siem = admin.siem
    wanted = {
        TLS: admin.tls_secret,
        AUDIT: admin.audit_secret,
        JWKS: admin.oauth.jwks_secret if admin.oauth else None,
        CLIENT_CA: admin.mtls.client_ca_secret if admin.mtls else None,
        SIEM: siem.client_secret if siem else None,
        SIEM_CA: siem.ca_secret if siem else None,
    }
    return {folder: secret for folder, secret in wanted.items() if secret}


def environment(runner: TradingRunner, release: Release) -> list[dict[str, str]]:
    """Variables of a container of `release`."""
    variables = [
        {"name": name, "value": _file(folder, "secret")}
        for folder, name in _VARIABLES.items()
        if folder in release.secrets
    ]
    if variables and runner.spec.admin is not None:
        seconds = runner.spec.admin.secret_refresh_interval_seconds
        variables.append({"name": _INTERVAL, "value": str(seconds)})
    return variables


def ports(release: Release) -> list[dict[str, Any]]:
    """Ports of a container of `release`."""
    if AUDIT not in release.secrets:
        return []
    return [{"name": "admin", "containerPort": ADMIN_PORT, "protocol": "TCP"}]


def ingress(spec: TradingRunnerSpec) -> list[dict[str, Any]]:
    """Rules of the NetworkPolicy. None without peers: a rule that names none lets everybody in."""
    if spec.admin is None or not spec.admin.allow_from:
        return []
    peers = [_peer(peer) for peer in spec.admin.allow_from]
    return [{"from": peers, "ports": [{"port": ADMIN_PORT, "protocol": "TCP"}]}]


def egress(spec: TradingRunnerSpec) -> set[int]:
    """Ports that have to be let out."""
    return spec.admin.siem.ports if spec.admin and spec.admin.siem else set()


def _peer(peer: Peer) -> dict[str, Any]:
    if peer.cidr is not None:
        return {"ipBlock": {"cidr": peer.cidr}}
    selectors: dict[str, Any] = {}
    if peer.namespace_labels is not None:
        selectors["namespaceSelector"] = {"matchLabels": dict(peer.namespace_labels)}
    if peer.pod_labels is not None:
        selectors["podSelector"] = {"matchLabels": dict(peer.pod_labels)}
    return selectors


def _file(folder: str, name: str) -> str:
    return f"{SECRETS_DIR}/{folder}/{name}"
