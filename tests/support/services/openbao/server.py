"""OpenBao over TLS with its own storage, a key-value engine, an audit log and logins of agents."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.cluster.progress import Step
from tests.support.services.openbao import programs
from tests.support.services.process import Child
from tests.support.services.service import LOOPBACK, free_port
from tests.support.services.tls import Authority

MOUNT = "kv"
#: Seconds for which an agent's login counts; it renews it.
_TOKEN_SECONDS = 60


class Refused(Exception):
    """The server answered with an error; ``status`` is HTTP's."""

    def __init__(self, status: int, errors: str) -> None:
        super().__init__(f"{status}: {errors}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Login:
    """Files of one AppRole: its id and its secret id."""

    role_id: Path
    secret_id: Path


class OpenBao:
    """One server; ``stop`` and ``start`` again on the same folder is an outage."""

    name = "openbao"

    def __init__(self) -> None:
        self._child: Child | None = None
        self._folder, self._host = Path(), LOOPBACK
        self._ports = (0, 0)
        self._unseal_key = self._root = ""
        self.ca_file = Path()

    # -- life ------------------------------------------------------------------------------

    def install(self, step: Step) -> None:
        programs.ensure(step)

    def start(self, folder: Path, host: str = LOOPBACK) -> Mapping[str, str]:
        (folder / "data").mkdir(parents=True, exist_ok=True)
        self._folder, self._host = folder, host
        if not self.ca_file.is_file():
            authority = Authority(folder / "tls")
            authority.issue("server", [host])
            self.ca_file = authority.certificate
            self._ports = (free_port(host), free_port(host))  # kept: it comes back where it was
        config = folder / "server.hcl"
        config.write_text(self._config())
        self._child = Child([programs.program(), "server", f"-config={config}"], self.log)
        self._child.wait_until(self._listens, self.name)
        if not self._unseal_key:
            self._initialise()
        else:
            self.unseal()
        token = folder / "root-token"
        token.touch(0o600)
        token.write_text(self._root)
        return {
            "BAO_ADDR": self.url,
            "BAO_CACERT": str(self.ca_file),
            "BAO_TOKEN_FILE": str(token),
        }

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()

    def seal(self) -> None:
        """As somebody does who suspects a break-in: it holds its secrets and gives out none."""
        self.ask("PUT", "sys/seal")

    def unseal(self) -> None:
        """Returns once it answers requests."""
        assert self._child is not None
        self.ask("PUT", "sys/unseal", {"key": self._unseal_key})
        self._child.wait_until(self._active, self.name)

    def _initialise(self) -> None:
        found = self.ask("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self._unseal_key, self._root = found["keys"][0], found["root_token"]
        self.unseal()
        self.ask("POST", f"sys/mounts/{MOUNT}", {"type": "kv", "options": {"version": "2"}})
        self.ask("POST", "sys/auth/approle", {"type": "approle"})

    # -- where it is, and what it said -----------------------------------------------------

    @property
    def url(self) -> str:
        return f"https://{self._host}:{self._ports[0]}"

    @property
    def log(self) -> Path:
        return self._folder / "server.log"

    @property
    def audit_log(self) -> Path:
        return self._folder / "audit.log"

    def audited(self) -> list[dict[str, Any]]:
        """What its audit device wrote, oldest first."""
        lines = self.audit_log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    # -- secrets and who may read them -----------------------------------------------------

    def put(self, path: str, values: Mapping[str, str]) -> None:
        """A new version of the secret at ``path``."""
        self.ask("POST", f"{MOUNT}/data/{path}", {"data": dict(values)})

    def let_read(self, role: str, path: str) -> Login:
        """An AppRole that may read ``path`` and nothing else."""
        policy = f'path "{MOUNT}/data/{path}" {{ capabilities = ["read"] }}'
        self.ask("PUT", f"sys/policies/acl/{role}", {"policy": policy})
        at = f"auth/approle/role/{role}"
        self.ask("POST", at, {"token_policies": [role], "token_ttl": f"{_TOKEN_SECONDS}s"})
        login = Login(self._folder / f"{role}.role-id", self._folder / f"{role}.secret-id")
        for file, value in (
            (login.role_id, self.ask("GET", f"{at}/role-id")["data"]["role_id"]),
            (login.secret_id, self.ask("POST", f"{at}/secret-id")["data"]["secret_id"]),
        ):
            file.touch(0o600)
            file.write_text(value)
        return login

    def log_in(self, login: Login) -> str:
        """A token of the role."""
        body = {"role_id": login.role_id.read_text(), "secret_id": login.secret_id.read_text()}
        found = self.ask("POST", "auth/approle/login", body)
        return str(found["auth"]["client_token"])

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, token: str = ""
    ) -> dict[str, Any]:
        """A request as root, or with ``token``. Raises :class:`Refused`."""
        headers = {"X-Vault-Token": token or self._root} if token or self._root else {}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/v1/{path}", data, headers, method=method)
        context = ssl.create_default_context(cafile=str(self.ca_file))
        try:
            with urllib.request.urlopen(request, timeout=10, context=context) as answer:
                return dict(json.loads(answer.read() or b"{}"))
        except urllib.error.HTTPError as error:
            raise Refused(error.code, error.read().decode()) from None

    def _listens(self) -> bool:
        try:
            self.ask("GET", "sys/seal-status")
        except (Refused, OSError):
            return False
        return True

    def _active(self) -> bool:
        try:
            self.ask("GET", "sys/health")
        except (Refused, OSError):  # sealed, or no leader yet
            return False
        return True

    def _config(self) -> str:
        tls, (port, cluster) = self._folder / "tls", self._ports
        return f"""\
api_addr = "{self.url}"
cluster_addr = "https://{self._host}:{cluster}"
storage "raft" {{
  path = "{self._folder / "data"}"
  node_id = "one"
  performance_multiplier = "1"
}}
listener "tcp" {{
  address = "{self._host}:{port}"
  tls_cert_file = "{tls / "server.pem"}"
  tls_key_file = "{tls / "server.key"}"
}}
audit "file" "trail" {{
  options {{ file_path = "{self.audit_log}" }}
}}
"""
