"""Schema numbers: one for each kind of file, so that raising one leaves every other file readable.

A kind that is in backups may get a higher number when the meaning of its content changes: going
back to the release before brings the older file back as well. Every release reads all numbers up
to its own, and refuses a newer one by name.

A *frozen* kind lies outside backups and outlives a rollback, so the release before reads what the
newer one wrote last. Its number never rises again, it may only get keys that readers can do
without, and no reader refuses it for its number: see docs/decisions/0033-protocol-0.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from tradepulse_runner.errors import SchemaTooNew

REMEDY = "remedy: use the release that wrote it, or restore a backup made by this one"


@dataclass(frozen=True, slots=True)
class Schema:
    """A kind of file: ``kind`` in words, and the ``number`` that this release writes."""

    kind: str
    number: int
    frozen: bool = False

    def require(self, number: int, where: object) -> None:
        """Raise :class:`SchemaTooNew` when this release can't read ``number``, which was read at
        ``where``; ValueError when no release ever wrote such a number."""
        if number < 1:
            raise ValueError(f"schema {number}")
        if number > self.number and not self.frozen:
            raise SchemaTooNew(
                f"{where}: {self.kind} of schema {number}, this release reads up to {self.number};"
                f" {REMEDY}"
            )


ORDER_BOOK = Schema("order book", 1)
JOURNAL = Schema("journal", 1)
BACKUP = Schema("backup", 1)
EPOCH = Schema("writer epoch", 1, frozen=True)
KILL_SWITCH = Schema("kill switch", 1, frozen=True)
KILL_REPORT = Schema("kill switch report", 1, frozen=True)
INCIDENT = Schema("incident report", 1, frozen=True)
