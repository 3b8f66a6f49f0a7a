"""The agent: it logs in, watches one secret, and renames what its template makes of it into place.

The template is the one that configs/README.md tells people to use.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.cluster.settings import Paths
from tests.support.services.openbao import programs
from tests.support.services.openbao.server import MOUNT, Login, OpenBao
from tests.support.services.process import Child

README = Paths.default().root / "configs" / "README.md"
#: Whence the README's template writes to and reads from.
_DESTINATION, _SECRET = "/vault/secrets/credentials.json", "kv/data/binance"


class Agent:
    """One agent of ``server``, which writes ``folder/credentials.json`` from the secret ``path``.

    ``pace``: seconds between two looks at a secret, which doesn't say when it changes.
    """

    def __init__(
        self, server: OpenBao, login: Login, path: str, folder: Path, *, pace: float = 0.3
    ) -> None:
        self._server, self._path, self._pace = server, path, pace
        self.login = login
        self.folder = folder
        self.log = folder.with_suffix(".log")
        self._child: Child | None = None

    def start(self) -> None:
        """Returns at once."""
        config = self.folder.with_suffix(".hcl")
        config.write_text(self._config())
        self._child = Child([programs.program(), "agent", f"-config={config}"], self.log)

    def wait(self) -> None:
        """Until there is a file. Raises StepFailed with the log's end."""
        assert self._child is not None
        self._child.wait_until((self.folder / "credentials.json").exists, "the agent's file")

    def kill(self) -> None:
        """SIGKILL."""
        assert self._child is not None
        self._child.kill()

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()

    def template(self) -> str:
        """The README's, for these places."""
        found = re.search(r"^```hcl\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
        assert found is not None, f"{README} has no template"
        text = found.group(1)
        for there, here in (
            (_DESTINATION, str(self.folder / "credentials.json")),
            (_SECRET, f"{MOUNT}/data/{self._path}"),
        ):
            assert text.count(there) == 1, there
            text = text.replace(there, here)
        return text

    def _config(self) -> str:
        return f"""\
vault {{
  address = "{self._server.url}"
  ca_cert = "{self._server.ca_file}"
}}
auto_auth {{
  method "approle" {{
    min_backoff = "200ms"
    max_backoff = "1s"
    config {{
      role_id_file_path = "{self.login.role_id}"
      secret_id_file_path = "{self.login.secret_id}"
      remove_secret_id_file_after_reading = false
    }}
  }}
}}
template_config {{
  static_secret_render_interval = "{self._pace}s"
  exit_on_retry_failure = false
}}
{self.template()}"""
