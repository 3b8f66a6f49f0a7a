"""Who asks, and why somebody was turned away."""

from __future__ import annotations

from dataclasses import dataclass

from tradepulse_runner.config.admin import Scope
from tradepulse_runner.errors import RunnerError

#: Characters kept of a name: it goes into the audit trail and the latch.
MAX_NAME = 256


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller who is known. ``method``: ``oauth`` or ``mtls``."""

    name: str
    scopes: frozenset[Scope]
    method: str

    @property
    def key(self) -> str:
        """What attempts are counted by: names of two methods are two."""
        return f"{self.method}:{self.name}"


class Unauthenticated(RunnerError):
    """The caller didn't prove who they are. The text is for them, and never shows a token."""


def usable_name(text: object) -> str:
    """A caller name fit for audit records. Raises :class:`Unauthenticated` without one, or for one
    that is too long or not printable."""
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_NAME:
        raise Unauthenticated("the credentials name nobody, or by more than 256 characters")
    if not text.isprintable():
        raise Unauthenticated("the name in the credentials has characters that can't be shown")
    return text.strip()
