"""Where the API server is, and how the operator proves to it who it is.

The official client reads service account and kubeconfig and sets up TLS; `kube_token` keeps the
token fresh. See docs/decisions/0001-kubernetes-client.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.incluster_config import InClusterConfigLoader
from kubernetes.aio.config.kube_config import KubeConfigLoader, KubeConfigMerger

from tradepulse_operator.common.names import MANAGER

from .errors import KubeError
from .token import Token, from_file, from_plugin

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_DEFAULT_KUBECONFIG = "~/.kube/config"
#: Connections at once: a reconciliation sends about fifteen requests.
CONNECTIONS = 16
_BEARER = "Bearer "


@dataclass(frozen=True)
class Connection:
    """A client of the API server. `token`: None where a static credential or none is sent."""

    client: ApiClient
    token: Token | None

    @property
    def configuration(self) -> Configuration:
        """Server, TLS and proxy, as the official client calls them."""
        return self.client.configuration

    async def authorization(self, refused: str = "") -> str:
        """The `Authorization` header to send, empty for none; if possible another than `refused`.

        Raises Unavailable when there is no token at the moment.
        """
        if self.token is None:
            return str(self.configuration.api_key.get("BearerToken") or "")
        return _BEARER + await self.token.other_than(refused.removeprefix(_BEARER))

    def another(self) -> Connection:
        """The same credentials over connections of its own: what is sent there waits for nothing
        that is sent here."""
        return Connection(_client(self.configuration), self.token)

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()


async def connect(service_account: Path = SERVICE_ACCOUNT) -> Connection:
    """A client with the credentials of the service account, `$KUBECONFIG` or `~/.kube/config`.

    `service_account`: where the kubelet mounts token and certificate authority. Raises KubeError
    when there are no credentials, or none that can be used.
    """
    in_cluster = (service_account / "token").exists()
    paths = os.environ.get("KUBECONFIG") or _DEFAULT_KUBECONFIG
    where = str(service_account) if in_cluster else f"kubeconfig {paths}"
    configuration = Configuration()
    token: Token | None
    try:
        if in_cluster:
            token = _from_service_account(configuration, service_account)
        else:
            token = await _from_kubeconfig(configuration, paths)
        if token is not None:
            await _keep_fresh(configuration, token)
        _set_up(configuration)
        return Connection(_client(configuration), token)
    except KubeError:
        raise
    except Exception as error:
        # The loaders raise whatever a malformed file leads them to, and quote the user's entry
        # with its secrets: neither the entry nor the traceback may get into a log.
        what = re.sub(r"\{.*", "(entry not shown)", str(error), flags=re.DOTALL)
        raise KubeError(0, "NoCredentials", f"{where}: {what or type(error).__name__}") from None


def _client(configuration: Configuration) -> ApiClient:
    client = ApiClient(configuration)
    client.user_agent = MANAGER
    return client


def _from_service_account(configuration: Configuration, folder: Path) -> Token:
    InClusterConfigLoader(
        str(folder / "token"), str(folder / "ca.crt"), try_refresh_token=False
    ).load_and_set(configuration)
    return Token(from_file(folder / "token"))


async def _from_kubeconfig(configuration: Configuration, paths: str) -> Token | None:
    merged = KubeConfigMerger(paths).config
    if merged is None:
        raise KubeError(0, "NoCredentials", f"no kubeconfig at {paths}: set $KUBECONFIG")
    name = merged.safe_get("current-context")
    if not name:
        what = f"kubeconfig {paths} names no current context: kubectl config use-context"
        raise KubeError(0, "NoCredentials", what)
    context = merged["contexts"].get_with_name(name)["context"]
    token = _token(merged, context.safe_get("user"))
    # Left out, it would be localhost for the loader.
    _ = merged["clusters"].get_with_name(context["cluster"])["cluster"]["server"]
    await KubeConfigLoader(merged, config_base_path=None).load_and_set(configuration)
    return token


def _token(merged: Any, user: str | None) -> Token | None:
    """The user's token where it can change. Taken out of `merged`: the loader would read a file
    once only, and go on without credentials when a plugin fails."""
    entry = merged["users"].get_with_name(user, safe=True) if user else None
    if entry is None:
        return None
    fields = entry["user"]
    file, plugin = fields.value.pop("tokenFile", None), fields.value.pop("exec", None)
    if file:
        fields.value.pop("token", None)
        return Token(from_file(Path(fields.path).parent / file))
    if plugin and not fields.value.get("token"):
        return Token(from_plugin({**plugin, "command": _command(plugin, Path(fields.path))}))
    return None


def _command(plugin: Mapping[str, Any], kubeconfig: Path) -> str:
    """A plugin's program: by name in $PATH, by path from where the kubeconfig is."""
    command = str(plugin.get("command") or "")
    return str(kubeconfig.absolute().parent / command) if os.sep in command else command


def _set_up(configuration: Configuration) -> None:
    """What differs from the client's own choices."""
    # Retries are ours: the client's would send a PUT or DELETE again, too.
    configuration.retries = None
    configuration.connection_pool_maxsize = CONNECTIONS
    configuration.client_session_kwargs = {
        # Proxies of the environment are for the internet, not for the API server; one that the
        # kubeconfig names (proxy-url) is used.
        "trust_env": False,
        "middlewares": (_refuse_redirects,),
    }


async def _keep_fresh(configuration: Configuration, token: Token) -> None:
    """From now on, each request asks `token` for the value that it sends."""

    async def set_token(configuration: Configuration) -> None:
        configuration.api_key["BearerToken"] = _BEARER + await token.value()

    await set_token(configuration)
    configuration.refresh_api_key_hook = set_token


async def _refuse_redirects(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """The API server doesn't redirect; who does would get a write as a GET, and the token."""
    answer = await handler(request)
    if 300 <= answer.status < 400:
        answer.close()
        what = f"{request.method} {request.url.path}: redirected: check the server's address"
        raise KubeError(answer.status, "Redirected", what)
    return answer
