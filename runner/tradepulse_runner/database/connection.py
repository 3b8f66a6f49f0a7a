"""Connects to the primary.

Servers are tried in order, each with its own timeout: one that is starting or unreachable must not
block the next. After a failover the old primary may return and still accept writes; its timeline is
older than the newest one seen, so it is not used.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, TypeAlias

import asyncpg

from tradepulse_runner.config.database import DatabaseConfig, require_files
from tradepulse_runner.database.errors import FAILURES, DatabaseError, explain
from tradepulse_runner.errors import ConfigError

#: ``asyncpg.Connection``, which comes without types.
Connection: TypeAlias = Any
APPLICATION = "tradepulse-runner"
SERVER_STATE = """
SELECT pg_is_in_recovery() AS standby,
       current_setting('default_transaction_read_only')::bool AS read_only,
       (SELECT system_identifier::text FROM pg_control_system()) AS system,
       CASE WHEN pg_is_in_recovery() THEN ''
            ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END AS timeline
"""


def tls(config: DatabaseConfig) -> ssl.SSLContext:
    """A TLS context that trusts only ``ca_file``, checks host names and presents our certificate.
    Raises :class:`ConfigError`."""
    require_files(config)
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(config.ca_file)
        context.load_cert_chain(config.cert_file, config.key_file)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(
            f"database: {config.ca_file}, {config.cert_file} and {config.key_file} are not PEM"
            f" files that belong together ({type(error).__name__}); remedy: look at the Secret"
        ) from None
    return context


def file_versions(config: DatabaseConfig) -> tuple[float, ...]:
    """Modification times of the TLS files, to detect a rotation; empty when one is missing."""
    files = (config.ca_file, config.cert_file, config.key_file)
    try:
        return tuple(path.stat().st_mtime_ns for path in files)
    except OSError:
        return ()


async def connect(config: DatabaseConfig, timelines: dict[str, str] | None = None) -> Connection:
    """A connection to the primary. Raises :class:`DatabaseError`, :class:`ConfigError`.

    ``timelines``: the newest timeline seen, by system identifier; updated in place.
    """
    context = await asyncio.to_thread(tls, config)
    why: list[str] = []
    for host, port in config.addresses:
        try:
            return await _one(config, host, port, context, {} if timelines is None else timelines)
        except (*FAILURES, DatabaseError) as error:
            why.append(f"{host}:{port} {explain(error)}")
    raise DatabaseError(f"no server takes our records: {'; '.join(why)}")


async def _one(
    config: DatabaseConfig,
    host: str,
    port: int,
    context: ssl.SSLContext,
    timelines: dict[str, str],
) -> Connection:
    connection = await open_one(config, host, port, context)
    try:
        server = await connection.fetchrow(SERVER_STATE, timeout=config.connect_timeout)
        assert server is not None  # a SELECT without FROM has one row
        require_primary(dict(server), timelines)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def open_one(
    config: DatabaseConfig, host: str, port: int, context: ssl.SSLContext
) -> Connection:
    """A connection to this server, primary or not. Raises one of ``FAILURES``."""
    return await asyncpg.connect(
        host=host,
        port=port,
        user=config.user,
        database=config.name,
        ssl=context,
        timeout=config.connect_timeout,
        command_timeout=config.command_timeout,
        target_session_attrs="any",  # SERVER_STATE also detects a stale primary
        server_settings={"application_name": APPLICATION},
    )


def require_primary(server: Mapping[str, Any], timelines: dict[str, str]) -> None:
    """Raise :class:`DatabaseError` unless ``server`` (a row of ``SERVER_STATE``) is a primary of
    the newest timeline; its timeline is then stored in ``timelines``."""
    if server["standby"] or server["read_only"]:
        raise DatabaseError("is a replica")
    system, timeline = server["system"], server["timeline"]
    newest = timelines.get(system, "")
    if timeline < newest:
        raise DatabaseError(
            f"is a primary of timeline {timeline}, but {newest} was seen since: it was failed over"
            " from; remedy: make it a replica of the new primary"
        )
    timelines[system] = timeline
