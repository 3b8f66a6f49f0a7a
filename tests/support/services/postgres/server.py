"""A primary with a streaming replica, over TLS, for whoever has a certificate; WAL is archived."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import asyncpg

from tests.support.cluster.progress import Step, StepFailed
from tests.support.services.postgres import programs
from tests.support.services.postgres.node import Node, own
from tests.support.services.service import LOOPBACK, free_port
from tests.support.services.tls import Authority, Pair

ROLES = Path(__file__).resolve().parents[4] / "configs" / "postgres-roles.sql"
DATABASE = "tradepulse"
SUPERUSER, OWNER, WRITER, OBSERVER = "postgres", "tradepulse_owner", "runner", "observer"
_REPLICATOR = "replicator"
#: Small, and quick at what tests wait for; every commit is on disk, as in production.
_SETTINGS = {
    "wal_level": "replica",
    "max_wal_senders": "8",
    "max_connections": "40",
    "shared_buffers": "32MB",
    "wal_keep_size": "256MB",
    "hot_standby": "on",
    "wal_receiver_status_interval": "1",
    "wal_retrieve_retry_interval": "500ms",
    "unix_socket_directories": "",
    "ssl": "on",
    "archive_mode": "on",
}


class Postgres:
    """Two servers. ``synchronous``: a commit is answered once the replica has it, too.

    ``address``: where clients find them, when that isn't where they listen.
    """

    name = "postgres"

    def __init__(self, *, synchronous: bool = False, address: str | None = None) -> None:
        self._synchronous, self._address = synchronous, address
        self._folder = Path()
        self.pairs: dict[str, Pair] = {}
        self.authority: Authority
        self.primary: Node
        self.replica: Node
        self.archive = Path()

    # -- life ------------------------------------------------------------------------------

    def install(self, step: Step) -> None:
        programs.ensure(step)

    def start(self, folder: Path, host: str = LOOPBACK) -> Mapping[str, str]:
        self._folder, self.archive = folder, folder / "archive"
        for path in (folder, self.archive, folder / "primary", folder / "replica"):
            path.mkdir(parents=True, exist_ok=True)
            own([path])
        self._certify(host)
        self.primary = Node(folder / "primary", host, free_port(host))
        self.primary.initialise({**_SETTINGS, **self._settings(host)})
        self.primary.start()
        asyncio.run(self._prepare())
        self.replica = Node(folder / "replica", host, free_port(host))
        self.follow(self.replica, self.primary)
        if self._synchronous:
            names = "ALTER SYSTEM SET synchronous_standby_names='*'"
            asyncio.run(self.execute(self.primary, names))
            asyncio.run(self.execute(self.primary, "SELECT pg_reload_conf()"))
        pair = self.pairs[WRITER]
        return {
            "POSTGRES_HOSTS": f"{self.where(self.primary)},{self.where(self.replica)}",
            "POSTGRES_DATABASE": DATABASE,
            "POSTGRES_USER": WRITER,
            "POSTGRES_CA_FILE": str(self.authority.certificate),
            "POSTGRES_CERT_FILE": str(pair.certificate),
            "POSTGRES_KEY_FILE": str(pair.key),
        }

    def stop(self) -> None:
        for node in (getattr(self, "replica", None), getattr(self, "primary", None)):
            if node is not None:
                node.stop()

    # -- what happens to them --------------------------------------------------------------

    def follow(self, node: Node, primary: Node) -> None:
        """Make ``node`` a replica of ``primary``, from a copy, and start it."""
        node.copy_of(self._conninfo(primary))
        node.start()

    def fail_over(self) -> None:
        """The primary dies; its replica takes its place. What was only on the primary is gone."""
        self.primary.kill()
        self.replica.promote()
        self.primary, self.replica = self.replica, self.primary

    def base_backup(self, name: str) -> Path:
        """A copy of the primary to recover from, with the archive; returns its folder."""
        folder = self._folder / name
        folder.mkdir(mode=0o700)
        own([folder])
        node = Node(folder, self.primary.host, 0)
        node.copy_of(self._conninfo(self.primary), follow=False)
        return folder

    def recover(self, backup: Path, until: str) -> Node:
        """A server from ``backup`` and the archive, as of ``until`` (timestamptz)."""
        node = Node(backup, self.primary.host, free_port(self.primary.host))
        with (node.data / "postgresql.conf").open("a") as out:
            out.write(
                f"restore_command = 'cp {self.archive}/%f %p'\n"
                f"recovery_target_time = '{until}'\n"
                "recovery_target_action = 'promote'\n"
                "archive_mode = 'off'\n"
            )
        signal_file = node.data / "recovery.signal"
        signal_file.touch()
        own([signal_file])
        node.start()
        return node

    def archive_now(self) -> None:
        """Returns once everything that was written so far is in the archive."""
        name = asyncio.run(self._value(self.primary, "SELECT pg_walfile_name(pg_switch_wal())"))
        _until((self.archive / name).is_file, f"{name} in {self.archive}")

    def until_writable(self, node: Node) -> None:
        """Returns once ``node`` has ended its recovery."""
        asked = "SELECT NOT pg_is_in_recovery()"
        _until(lambda: bool(asyncio.run(self._value(node, asked))), "the end of the recovery")

    async def _value(self, node: Node, query: str) -> Any:
        connection = await self.connect(node)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    # -- who asks, and where ---------------------------------------------------------------

    def where(self, node: Node) -> str:
        return f"{self._address or node.host}:{node.port}"

    async def connect(self, node: Node, user: str = SUPERUSER, database: str = DATABASE) -> Any:
        """A connection as ``user``, by that user's certificate."""
        pair = self.pairs[user]
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        context.load_cert_chain(pair.certificate, pair.key)
        return await asyncpg.connect(
            host=node.host, port=node.port, user=user, database=database, ssl=context, timeout=10
        )

    async def execute(self, node: Node, statement: str, *, database: str = DATABASE) -> None:
        connection = await self.connect(node, database=database)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def _prepare(self) -> None:
        await self.execute(self.primary, ROLES.read_text(), database="postgres")
        for statement in (
            f"CREATE ROLE {_REPLICATOR} LOGIN REPLICATION",
            f"CREATE ROLE {WRITER} LOGIN IN ROLE tradepulse_writer",
            f"CREATE ROLE {OBSERVER} LOGIN IN ROLE tradepulse_reader, pg_monitor",
            f"CREATE DATABASE {DATABASE} OWNER {OWNER}",
        ):
            await self.execute(self.primary, statement, database="postgres")

    def _certify(self, host: str) -> None:
        folder = self._folder / "tls"
        self.authority = Authority(folder)
        hosts = sorted({host, LOOPBACK, "localhost", *([self._address] if self._address else [])})
        self.authority.issue("server", hosts)
        for user in (SUPERUSER, OWNER, WRITER, OBSERVER, _REPLICATOR):
            self.pairs[user] = self.authority.issue(user)
        replicator = self.pairs[_REPLICATOR]
        own([folder / "server.key", folder / "server.pem", replicator.key, replicator.certificate])

    def _settings(self, host: str) -> dict[str, str]:
        tls = self._folder / "tls"
        return {
            "listen_addresses": host,
            "ssl_cert_file": str(tls / "server.pem"),
            "ssl_key_file": str(tls / "server.key"),
            "ssl_ca_file": str(self.authority.certificate),
            "archive_command": f"test ! -f {self.archive}/%f && cp %p {self.archive}/%f",
        }

    def _conninfo(self, node: Node) -> str:
        pair = self.pairs[_REPLICATOR]
        return (
            f"host={node.host} port={node.port} user={_REPLICATOR} sslmode=verify-full"
            f" sslrootcert={self.authority.certificate} sslcert={pair.certificate}"
            f" sslkey={pair.key}"
        )


def _until(holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise StepFailed(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.05)
