"""Schema migrations: applied in order, once, recorded with a checksum.

Migrations are additive, so a release also runs on the schema of the next one: a rollback needs no
down migration. Each file names the oldest schema version whose release still runs after it; unused
objects may be dropped two releases later.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from tradepulse_runner.database.connection import Connection
from tradepulse_runner.database.errors import DatabaseError

PACKAGE = "tradepulse_runner.database.migrations"
_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
_OLDEST = re.compile(r"^-- oldest: (\d+)\n")
#: Key of the advisory lock that serializes concurrent migrations.
_LOCK = 0x7472616465
_OWN = """
CREATE SCHEMA IF NOT EXISTS tradepulse;
GRANT USAGE ON SCHEMA tradepulse TO tradepulse_writer, tradepulse_reader;
CREATE TABLE IF NOT EXISTS tradepulse.schema_migrations (
    version    integer     PRIMARY KEY,
    name       text        NOT NULL,
    sha256     text        NOT NULL,
    oldest     integer     NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON tradepulse.schema_migrations TO tradepulse_writer, tradepulse_reader;
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """``oldest``: number of the oldest schema whose release runs on a schema with this one."""

    version: int
    name: str
    sql: str
    oldest: int

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def parse(file: str, sql: str) -> Migration:
    """Raises ValueError for a name or a first line that isn't as it should be."""
    name, oldest = _NAME.match(file), _OLDEST.match(sql)
    if not name or not oldest:
        raise ValueError(f"{file}: call it NNNN_name.sql and begin it with '-- oldest: N'")
    return Migration(int(name[1]), name[2], sql, int(oldest[1]))


def migrations() -> list[Migration]:
    """Those of this release, in order."""
    files = [each for each in resources.files(PACKAGE).iterdir() if each.name.endswith(".sql")]
    return sorted((parse(f.name, f.read_text()) for f in files), key=lambda each: each.version)


async def migrate(connection: Connection, known: Sequence[Migration]) -> list[Migration]:
    """Apply what is missing, as the schema's owner; returns what was applied.

    What a newer release applied is left alone while releases of this one run on it. Raises
    :class:`DatabaseError` for a migration that was applied with another text.
    """
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        await connection.execute(_OWN)
        applied = await _applied(connection)
        _require_same(known, applied)
        _require_usable(max(each.version for each in known), applied)
        missing = [each for each in known if each.version not in applied]
        for each in missing:
            await _apply(connection, each)
        return missing
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)


async def require(connection: Connection, needed: int) -> int:
    """The schema's version, which a release that knows ``needed`` can use; else
    :class:`DatabaseError`."""
    there = await connection.fetchval("SELECT to_regclass('tradepulse.schema_migrations')")
    applied = await _applied(connection) if there else {}
    newest = max(applied, default=0)
    if newest < needed:
        raise DatabaseError(
            f"the schema is of version {newest}, this release needs {needed}; remedy: run"
            " 'tradepulse-runner database migrate' as the schema's owner"
        )
    _require_usable(needed, applied)
    return newest


@dataclass(frozen=True, slots=True)
class _Applied:
    sha256: str
    oldest: int


async def _applied(connection: Connection) -> dict[int, _Applied]:
    rows = await connection.fetch(
        "SELECT version, sha256, oldest FROM tradepulse.schema_migrations"
    )
    return {row["version"]: _Applied(row["sha256"], row["oldest"]) for row in rows}


async def _apply(connection: Connection, each: Migration) -> None:
    async with connection.transaction():
        await connection.execute(each.sql)
        await connection.execute(
            "INSERT INTO tradepulse.schema_migrations (version, name, sha256, oldest)"
            " VALUES ($1, $2, $3, $4)",
            *(each.version, each.name, each.sha256, each.oldest),
        )


def _require_same(known: Sequence[Migration], applied: dict[int, _Applied]) -> None:
    for each in known:
        there = applied.get(each.version)
        if there and there.sha256 != each.sha256:
            raise DatabaseError(
                f"migration {each.version:04d}_{each.name} was applied with another text; remedy:"
                " never change one that was released, add another"
            )


def _require_usable(known: int, applied: dict[int, _Applied]) -> None:
    oldest = max((each.oldest for each in applied.values()), default=0)
    if oldest > known:
        raise DatabaseError(
            f"the schema serves releases that know version {oldest} or newer, this one knows"
            f" {known}; remedy: run a newer release"
        )
