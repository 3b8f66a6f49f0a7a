"""versitygw over TLS, with one bucket whose objects keep their versions."""

from __future__ import annotations

import asyncio
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from tests.support.cluster.progress import Step, StepFailed
from tests.support.services import gobuild
from tests.support.services.objectstore.signing import signed
from tests.support.services.process import Child
from tests.support.services.service import LOOPBACK, free_port
from tests.support.services.tls import Authority

MODULE = Path(__file__).resolve().parent / "go"
PACKAGE = "github.com/versity/versitygw/cmd/versitygw"
BUCKET = "tradepulse-backups"
REGION = "us-east-1"
KEY = "backing-access-key-id"
#: Of a server that lives as long as a test.
SECRET = "backing-secret-access-key"
_ENABLED = (
    b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    b"<Status>Enabled</Status></VersioningConfiguration>"
)


class ObjectStore:
    """One server; ``stop`` and ``start`` again on the same folder is an outage."""

    name = "objectstore"

    def __init__(self, *, versioned: bool = True, port: int = 0) -> None:
        self._versioned, self._port = versioned, port
        self._child: Child | None = None
        self.endpoint = ""
        self.ca_file = Path()
        self.credentials_dir = Path()
        self.log = Path()

    def install(self, step: Step) -> None:
        gobuild.ensure(MODULE, PACKAGE, step)

    def start(self, folder: Path, host: str = LOOPBACK) -> Mapping[str, str]:
        for part in ("objects", "versions", "credentials"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        if not self.ca_file.is_file():
            authority = Authority(folder / "tls")
            authority.issue("server", [host])
            self.ca_file = authority.certificate
        self._port = self._port or free_port(host)  # kept: a server comes back where it was
        self.endpoint = f"https://{host}:{self._port}"
        self.credentials_dir, self.log = folder / "credentials", folder / "server.log"
        write_credentials(self.credentials_dir)
        self._run(folder, host)
        asyncio.run(self._make_bucket())
        return {
            "S3_ENDPOINT": self.endpoint,
            "S3_BUCKET": BUCKET,
            "S3_CA_FILE": str(self.ca_file),
            "S3_CREDENTIALS_DIR": str(self.credentials_dir),
        }

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        if self._child is not None:
            self._child.kill()

    def _run(self, folder: Path, host: str) -> None:
        tls = folder / "tls"
        options = ["--versioning-dir", str(folder / "versions")] if self._versioned else []
        pair = ["--cert", str(tls / "server.pem"), "--key", str(tls / "server.key")]
        self._child = Child(
            [
                gobuild.program(MODULE, PACKAGE),
                *("--port", f"{host}:{self._port}", "--region", REGION, "--health", "/health"),
                *(*pair, "--quiet", "posix", *options, str(folder / "objects")),
            ],
            self.log,
            env={"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET},
        )
        self._child.wait_until(self._answers, "versitygw")

    def _answers(self) -> bool:
        context = ssl.create_default_context(cafile=str(self.ca_file))
        try:
            with urllib.request.urlopen(f"{self.endpoint}/health", timeout=2, context=context):
                return True
        except (urllib.error.URLError, OSError):
            return False

    async def _make_bucket(self) -> None:
        """Its S3 client knows objects only: two requests are signed by hand."""
        await self._put("", b"", taken=(200, 409))
        if self._versioned:
            await self._put("versioning", _ENABLED, taken=(200,))

    async def _put(self, query: str, body: bytes, *, taken: tuple[int, ...]) -> None:
        url = f"{self.endpoint}/{BUCKET}" + (f"?{query}=" if query else "")
        headers = signed("PUT", url, body, key=KEY, secret=SECRET, region=REGION)
        context = ssl.create_default_context(cafile=str(self.ca_file))
        async with (
            aiohttp.ClientSession() as session,
            session.put(url, data=body, headers=headers, ssl=context) as answer,
        ):
            if answer.status not in taken:
                raise StepFailed(f"PUT {url}: {answer.status} {(await answer.text())[:300]}")


def write_credentials(folder: Path, key: str = KEY, secret: str = SECRET) -> None:
    """The two files that a runner reads, as a mounted Secret has them."""
    (folder / "S3_API_KEY").write_text(key)
    (folder / "S3_API_SECRET").write_text(secret)
