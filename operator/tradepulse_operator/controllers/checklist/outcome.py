"""What was found of an item of the checklist."""

from __future__ import annotations

from dataclasses import dataclass

from tradepulse_operator.api.checklist import CheckResult


@dataclass(frozen=True)
class CheckOutcome:
    """What was found. `final`: it can't come true any more. `by`: who said so."""

    result: CheckResult
    message: str = ""
    final: bool = False
    by: str | None = None


PASSED = CheckOutcome(CheckResult.PASS)


def failed(message: str, *, final: bool = False) -> CheckOutcome:
    """It doesn't hold."""
    return CheckOutcome(CheckResult.FAIL, message, final)


def pending(message: str) -> CheckOutcome:
    """It is not known yet."""
    return CheckOutcome(CheckResult.PENDING, message)
