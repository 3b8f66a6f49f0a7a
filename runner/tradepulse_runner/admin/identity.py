"""Identities of callers, and the error of a failed authentication."""

from __future__ import annotations

from dataclasses import dataclass

from tradepulse_runner.config.admin import Scope
from tradepulse_runner.errors import RunnerError

#: Maximum length of a name, characters: it is stored in the audit trail and the latch.
MAX_NAME = 256


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated caller. ``method``: ``oauth`` or ``mtls``."""

    name: str
    scopes: frozenset[Scope]
    method: str

    @property
    def key(self) -> str:
        """Key of the rate limits; the same name by another method is another key."""
        return f"{self.method}:{self.name}"


class Unauthenticated(RunnerError):
    """Authentication failed. The text is for the caller, and never contains a token."""


def usable_name(text: object) -> str:
    """A caller name fit for audit records. Raises :class:`Unauthenticated` without one, or for one
    that is too long or not printable."""
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_NAME:
        raise Unauthenticated("the credentials name nobody, or by more than 256 characters")
    if not text.isprintable():
        raise Unauthenticated("the name in the credentials has characters that can't be shown")
    return text.strip()
