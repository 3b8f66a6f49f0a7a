"""The Lease in the Kubernetes API: two verbs, over HTTPS, as the pod's service account.

Source: Kubernetes API reference, ``coordination.k8s.io/v1`` Lease; "Accessing the API from a pod"
for token, CA and address. The kubelet replaces the token in place, so it is read for each request.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from tradepulse_runner.config.runner import LeaseConfig
from tradepulse_runner.errors import ConfigError
from tradepulse_runner.lease.decisions import Times
from tradepulse_runner.lease.writer import LeaseConflict, LeaseUnavailable, Manifest, WriterLease

#: Characters of an error answer that an error's text quotes.
LONGEST_REASON = 300
GONE_OR_CHANGED = (404, 409)


class KubeLease:
    """One Lease. ``timeout``: seconds that a request may take."""

    def __init__(self, address: str, name: str, credentials: Path, *, timeout: float) -> None:
        """``address`` of the API server, ``https://host:port``; ``name``: ``namespace/name``;
        ``credentials``: a directory with ``token`` and ``ca.crt``."""
        namespace, _, lease = name.partition("/")
        path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{lease}"
        self._url = address.rstrip("/") + path
        self._what = f"lease {name}"
        self._credentials = credentials
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None
        self._ca = b""
        self._tls: ssl.SSLContext | None = None

    async def read(self) -> Manifest | None:
        """The Lease as it is; None when there is none. Raises :class:`LeaseUnavailable`."""
        status, body = await self._send("GET", None)
        if status == 404:
            return None
        return self._checked(status, body)

    async def replace(self, lease: Manifest) -> Manifest:
        """Store it; returns it as stored. Raises :class:`LeaseConflict`,
        :class:`LeaseUnavailable`."""
        status, body = await self._send("PUT", lease)
        if status in GONE_OR_CHANGED:
            raise LeaseConflict(f"{self._what}: it was changed or removed meanwhile")
        return self._checked(status, body)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _send(self, method: str, body: Manifest | None) -> tuple[int, Any]:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        try:
            token = (self._credentials / "token").read_text().strip()
            async with self._session.request(
                method,
                self._url,
                json=body,
                ssl=self._tls_context(),
                headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
                allow_redirects=False,
            ) as answer:
                return answer.status, await answer.json(content_type=None)
        except (OSError, ValueError, aiohttp.ClientError) as error:
            raise LeaseUnavailable(
                f"{self._what}: {method}: {type(error).__name__}: {error}; remedy: the API server "
                f"must be reachable from the pod, and {self._credentials} hold token and ca.crt"
            ) from error

    def _tls_context(self) -> ssl.SSLContext:
        """TLS that trusts the cluster's own authority alone; made anew when its file changes."""
        certificate = (self._credentials / "ca.crt").read_bytes()
        if self._tls is None or certificate != self._ca:
            self._tls = ssl.create_default_context(cadata=certificate.decode())
            self._ca = certificate
        return self._tls

    def _checked(self, status: int, body: Any) -> Manifest:
        if status == 200 and isinstance(body, dict) and isinstance(body.get("metadata"), dict):
            return body
        message = str(body.get("message") if isinstance(body, dict) else body)[:LONGEST_REASON]
        raise LeaseUnavailable(
            f"{self._what}: the API server answered {status}: {message}; remedy: the pod's service "
            "account needs the verbs get and update on this lease"
        )


def build_writer(config: LeaseConfig | None, environ: Mapping[str, str]) -> WriterLease | None:
    """The writer lease of a configuration. Raises :class:`ConfigError`."""
    if config is None:
        return None
    identity = environ.get("POD_UID", "")
    if not identity:
        raise ConfigError(
            "lease: POD_UID is not set, and the lease needs a holder that no other pod is; remedy: "
            "set it from the downward API (metadata.uid)"
        )
    store = KubeLease(
        address_of(config, environ),
        f"{config.namespace}/{config.name}",
        config.credentials_dir,
        # So that a request that hangs leaves time for another one.
        timeout=config.renew_deadline / 3,
    )
    times = Times(config.duration, config.renew_deadline, config.retry)
    return WriterLease(store, identity, times)


def address_of(config: LeaseConfig, environ: Mapping[str, str]) -> str:
    """The API server's address: the file's, or the one in every pod's environment."""
    if config.api_server:
        return config.api_server
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host:
        raise ConfigError(
            "lease: KUBERNETES_SERVICE_HOST is not set; remedy: run in a pod, set "
            "lease.api_server, or remove lease (the state directory is locked all the same)"
        )
    return f"https://[{host}]:{port or 443}" if ":" in host else f"https://{host}:{port or 443}"
