"""What must hold before a release is moved to: the checklist, who vouched for it, who waived it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from .base import Model, Rule, matches, required, rule
from .units import Duration, Instant, Line, Message, Name, Text

#: Items of one checklist at most.
MOST_ITEMS = 32
#: A drill older than this doesn't count, unless its item says otherwise.
DRILL_AGE = "168h"


class Check(StrEnum):
    """Checks that the operator makes itself."""

    IMAGE = "image"
    CONFIG = "config"
    SECRETS = "secrets"
    VOLUME = "volume"
    BACKUP_SPACE = "backup-space"
    SAMPLES = "samples"
    ONE_CUTOVER = "one-cutover"
    DRILL = "kill-switch-drill"
    KAFKA = "kafka"
    POSTGRES = "postgres"


#: The item that `rehearsal.required` brings.
REHEARSAL = "rehearsal"
#: Without these no cutover goes on, whether they are listed or not: nobody would see the new
#: release fail, or no rollback would be possible.
UNWAIVABLE = (Check.VOLUME, Check.SAMPLES, Check.ONE_CUTOVER)

_KNOWN = ", ".join(check.value for check in Check)
_NAMES = ", ".join(f"'{check.value}'" for check in Check)
_FIXED = ", ".join(f"'{check.value}'" for check in UNWAIVABLE)

#: One line that says something.
_Why = Annotated[
    str,
    Field(max_length=256),
    matches(
        r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$",
        "must say something in one line: write why, without line breaks",
    ),
]
_Person = Annotated[Text, Field(min_length=1)]


class ChecklistItem(Model):
    """One thing that must hold before the running release is touched."""

    cel: ClassVar[Sequence[Rule]] = (
        rule(
            f"self.name in [{_NAMES}] ? !has(self.manual) : has(self.manual)",
            f"name must be a check that the operator makes ({_KNOWN}), without manual; or else"
            " write in manual what a person has to check",
            ".manual",
            holds=lambda it: (it.name in set(Check)) == (it.manual is None),
        ),
        rule(
            f"self.name != '{REHEARSAL}'",
            f"{REHEARSAL} is no item to list: set rehearsal.required of the policy",
            ".name",
            holds=lambda it: it.name != REHEARSAL,
        ),
        rule(
            f"!has(self.maxAge) || self.name == '{Check.DRILL.value}'",
            f"maxAge belongs to {Check.DRILL.value}: remove it here",
            ".maxAge",
            holds=lambda it: it.max_age is None or it.name == Check.DRILL,
        ),
    )

    # The list's key: the API server wants it required in its own way, without a remedy.
    name: Name = Field(
        description=f"A check that the operator makes ({_KNOWN}), or a name of your own for what a"
        " person checks."
    )
    manual: Line | None = Field(
        default=None,
        description="What a person has to check; it passes once someone vouches for it in"
        " spec.confirmations.",
    )
    max_age: Duration | None = Field(
        default=None,
        description=f"Age that the last passed drill of {Check.DRILL.value} may have; {DRILL_AGE}"
        " when left out.",
    )


class Confirmation(Model):
    """One person's word that an item for people holds."""

    check: Name = Field(description="Name of the item that was checked.")
    by: _Person = Field(
        description="Who checked it: the name by which the API server knows the person.",
        json_schema_extra=required("name who checked it, as in `kubectl auth whoami`"),
    )
    note: _Why = Field(
        description="What was seen.",
        json_schema_extra=required("say what was seen, in one line"),
    )


class Waiver(Model):
    """One person's decision to go on although an item doesn't hold."""

    cel: ClassVar[Sequence[Rule]] = (
        rule(
            f"!(self.check in [{_FIXED}])",
            "this check can't be waived, without it nobody would see the new release fail, or there"
            " would be no way back: put right what it found",
            ".check",
            holds=lambda it: it.check not in set(UNWAIVABLE),
        ),
    )

    check: Name = Field(description="Name of the item that is waived.")
    by: _Person = Field(
        description="Who answers for it: the name by which the API server knows the person.",
        json_schema_extra=required("name who answers for it, as in `kubectl auth whoami`"),
    )
    reason: _Why = Field(
        description="Why it is right to go on all the same.",
        json_schema_extra=required("say why it is right to go on, in one line"),
    )


class CheckResult(StrEnum):
    """What became of an item."""

    PENDING = "Pending"
    PASS = "Pass"
    FAIL = "Fail"
    WAIVED = "Waived"


class CheckRecord(Model):
    """An item of the checklist, as it was found last."""

    name: Text = Field(description="Name of the item.")
    result: CheckResult = Field(description="Pending, Pass, Fail or Waived.")
    message: Message = Field(default="", description="What was found, or why it was waived.")
    by: Text | None = Field(default=None, description="Who vouched for it or waived it.")
    at: Instant = Field(description="Since when this has been so, RFC 3339.")
