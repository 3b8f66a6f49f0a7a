"""The edge to kopf: events become keys, and nothing else happens here.

Only `on.event` is used. It writes nothing to the objects (no annotation, no finalizer), and it is
never retried, which the work queue makes up for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import kopf

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.clients.kubernetes.config import Connection
from tradepulse_operator.common.names import (
    GROUP,
    LABEL_AUXILIARY,
    LABEL_CUTOVER,
    LABEL_MANAGED_BY,
    LABEL_RUNNER,
    MANAGER,
    VERSION,
)

from . import key as keys
from .key import Key
from .watch_tracker import WatchTracker

#: (group, version, plural) of the children, watched by label.
CHILDREN = (
    ("", "v1", "pods"),
    ("", "v1", "configmaps"),
    ("", "v1", "persistentvolumeclaims"),
    ("", "v1", "services"),
    ("", "v1", "serviceaccounts"),
    ("apps", "v1", "statefulsets"),
    ("policy", "v1", "poddisruptionbudgets"),
    ("networking.k8s.io", "v1", "networkpolicies"),
    # Not the Leases: each renewal would be an event. One that vanishes shows in its runner.
    ("rbac.authorization.k8s.io", "v1", "roles"),
    ("rbac.authorization.k8s.io", "v1", "rolebindings"),
    # kopf leaves out, with a warning, what the API server doesn't serve.
    ("monitoring.coreos.com", "v1", "servicemonitors"),
)

#: Seconds. The server ends a watch, then the client gives up on it; a dead one is noticed by its
#: missing bookmarks much earlier.
_SERVER_TIMEOUT = 300
_CLIENT_TIMEOUT = 310
_REQUEST_TIMEOUT = 15
_CONNECT_TIMEOUT = 5
#: Seconds until kopf asks for credentials again when there are none.
_LOGIN_BACKOFF = 5


class EventRouter:
    """Turns events into keys. `add`: the work queue's."""

    def __init__(self, add: Callable[[Key], None], tracker: WatchTracker) -> None:
        self._add = add
        self._tracker = tracker
        #: Runner → its claimed cutover, which moves on what happens to the runner's pod.
        self._claims: dict[Key, Key] = {}

    def runner(self, event: Mapping[str, Any]) -> None:
        """An event of a TradingRunner."""
        key, body = self._track(TradingRunner.KIND, event)
        claimed = (body.get("status") or {}).get("cutover")
        if event["type"] == "DELETED" or not claimed:
            self._claims.pop(key, None)
        else:
            self._claims[key] = keys.cutover(key.namespace, claimed)
        self._wake(key)

    def cutover(self, event: Mapping[str, Any]) -> None:
        """An event of a ReleaseCutover: its runner follows its phase."""
        key, body = self._track(ReleaseCutover.KIND, event)
        self._add(key)
        self._add(keys.runner(key.namespace, body["spec"]["runner"]))

    def child(self, event: Mapping[str, Any]) -> None:
        """An event of an object that carries the operator's label."""
        meta = event["object"]["metadata"]
        labels = meta.get("labels") or {}
        name = labels.get(LABEL_RUNNER) or labels.get(LABEL_AUXILIARY)
        if name:
            self._wake(keys.runner(meta["namespace"], name))

    def _wake(self, runner: Key) -> None:
        self._add(runner)
        if runner in self._claims:
            self._add(self._claims[runner])

    def _track(self, kind: str, event: Mapping[str, Any]) -> tuple[Key, Mapping[str, Any]]:
        body = event["object"]
        meta = body["metadata"]
        key = Key(kind, meta["namespace"], meta["name"])
        if event["type"] == "DELETED":
            self._tracker.gone(key)
        else:
            self._tracker.delivered(key, meta["resourceVersion"])
        return key, body


class Login:
    """Gives kopf, which keeps its own session for watches, the credentials of `connection`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._given = ""

    async def __call__(self) -> kopf.ConnectionInfo:
        """The credentials now. kopf asks again when the API server has refused those before.

        Raises Unavailable when there are none at the moment; kopf asks again.
        """
        self._given = await self._connection.authorization(refused=self._given)
        scheme, _, token = self._given.partition(" ")
        configuration = self._connection.configuration
        return kopf.ConnectionInfo(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            scheme=scheme or None,
            token=token or None,
            proxy_url=configuration.proxy,
        )


def registry(edge: EventRouter, login: Login) -> kopf.OperatorRegistry:
    """kopf's handlers."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers, backoff=_LOGIN_BACKOFF)
    async def credentials(**_: Any) -> kopf.ConnectionInfo:
        return await login()

    @kopf.on.event(GROUP, VERSION, TradingRunner.PLURAL, registry=handlers)
    async def runner(event: Any, **_: Any) -> None:
        edge.runner(event)

    @kopf.on.event(GROUP, VERSION, ReleaseCutover.PLURAL, registry=handlers)
    async def cutover(event: Any, **_: Any) -> None:
        edge.cutover(event)

    async def child(event: Any, **_: Any) -> None:
        edge.child(event)

    for group, version, plural in CHILDREN:
        kopf.on.event(group, version, plural, registry=handlers)(child)
    return handlers


def settings() -> kopf.OperatorSettings:
    """kopf's settings: watch, and nothing else."""
    result = kopf.OperatorSettings()
    result.watching.server_timeout = _SERVER_TIMEOUT
    result.watching.client_timeout = _CLIENT_TIMEOUT
    result.watching.connect_timeout = _CONNECT_TIMEOUT
    result.networking.request_timeout = _REQUEST_TIMEOUT
    result.networking.connect_timeout = _CONNECT_TIMEOUT
    result.posting.enabled = False
    result.peering.standalone = True
    # Kinds are found at start; watching definitions and namespaces would need rights for that.
    result.scanning.disabled = True
    for group, version, plural in CHILDREN:
        result.watching.label_selectors[group, version, plural] = f"{LABEL_MANAGED_BY}={MANAGER}"
    # Not the incident reports: nothing follows from them, and they are large.
    result.watching.label_selectors["", "v1", "configmaps"] = (
        f"{LABEL_MANAGED_BY}={MANAGER},!{LABEL_CUTOVER}"
    )
    return result
