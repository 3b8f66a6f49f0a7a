"""A fake of the Kubernetes API, for one Lease: TLS, a token, resourceVersion and its conflicts.

It is a fake: it knows nothing of RBAC, admission, or watch caches. The real API server is asked in
``tests/e2e/test_single_writer.py``.
"""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.venues.tls import make_loopback_tls

PATH = "/apis/coordination.k8s.io/v1/namespaces/default/leases/demo"
Manifest = dict[str, Any]


class FakeLeaseApi:
    """``async with FakeLeaseApi() as api``. ``refuse``: a status to answer with instead;
    ``lose_answers``: so many writes are stored and their answers lost."""

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory()
        self.credentials = Path(self._home.name)
        self.token = "first"
        self.refuse = 0
        self.lose_answers = 0
        self.lease: Manifest | None = None
        self.port = 0
        self.seen: list[str] = []
        self._version = 0
        self._uid = 0
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> FakeLeaseApi:
        tls = make_loopback_tls(self.credentials)
        (self.credentials / "ca.crt").write_bytes(tls.certificate.read_bytes())
        (self.credentials / "token").write_text(f"{self.token}\n")
        self.make()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls.server).start()
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()
        self._home.cleanup()

    @property
    def spec(self) -> Manifest:
        return dict((self.lease or {}).get("spec") or {})

    def make(self) -> None:
        """As the operator does: without a holder. The one before is gone."""
        self._uid += 1
        meta = {"name": "demo", "namespace": "default", "uid": f"u{self._uid}"}
        self._store(
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {**meta, "labels": {"by": "operator"}},
            }
        )

    def relabel(self) -> None:
        """A write of the operator: of the metadata alone."""
        assert self.lease is not None
        self.lease["metadata"]["labels"]["again"] = str(self._version)
        self._store(self.lease)

    def _store(self, lease: Manifest) -> None:
        self._version += 1
        lease["metadata"]["resourceVersion"] = str(self._version)
        self.lease = lease

    async def _handle(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.seen.append(f"{request.method} {token}")
        if token != self.token:
            return _failure(401, "Unauthorized")
        if self.refuse:
            return _failure(self.refuse, f"told to answer {self.refuse}")
        if request.path != PATH or self.lease is None:
            return _failure(404, "not found")
        if request.method == "GET":
            return web.json_response(self.lease)
        return await self._replace(request, await request.json())

    async def _replace(self, request: web.Request, new: Manifest) -> web.Response:
        assert self.lease is not None
        live = self.lease["metadata"]
        if any(new["metadata"].get(key) != live[key] for key in ("resourceVersion", "uid")):
            return _failure(409, "the object has been modified")
        self._store(copy.deepcopy(new))
        if self.lose_answers:
            self.lose_answers -= 1
            assert request.transport is not None
            request.transport.close()
        return web.json_response(self.lease)


def _failure(status: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "message": message}, status=status)
