"""Who asks, and why somebody was turned away."""

from __future__ import annotations

from dataclasses import dataclass

from tradepulse_runner.config.admin import Scope
from tradepulse_runner.errors import RunnerError

#: Characters kept of a name: it goes into the audit trail and the latch.
LONGEST_NAME = 256


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


class Unknown(RunnerError):
    """The caller didn't prove who they are. The text is for them, and never shows a token."""


def usable_name(text: object) -> str:
    """A name fit for records. Raises :class:`Unknown` for none, or one that would break a line."""
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST_NAME:
        raise Unknown("the credentials name nobody, or by more than 256 characters")
    if not text.isprintable():
        raise Unknown("the name in the credentials has characters that can't be shown")
    return text.strip()
