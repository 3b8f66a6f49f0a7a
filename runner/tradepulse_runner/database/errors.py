"""Database errors as texts without secrets."""

from __future__ import annotations

import ssl

import asyncpg

from tradepulse_runner.errors import RunnerError

#: Errors of a statement or a connection that are no defect of the runner.
FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


class DatabaseError(RunnerError):
    """The database can't be used as it is. Text names what, and the remedy."""


def explain(error: BaseException) -> str:
    """The reason of ``error``, without secrets."""
    if isinstance(error, RunnerError):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not believed: {error.verify_message}"
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return "refused our certificate, or has no such role; remedy: look at pg_hba.conf"
    if isinstance(error, TimeoutError):
        return "gives no answer"
    if isinstance(error, asyncpg.PostgresError):
        return f"{type(error).__name__}: {error}"
    if isinstance(error, asyncpg.InterfaceError):
        return "the connection was lost"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__
