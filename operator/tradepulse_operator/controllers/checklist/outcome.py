"""The outcome of an item of the checklist."""

from __future__ import annotations

from dataclasses import dataclass

from tradepulse_operator.api.checklist import CheckResult


@dataclass(frozen=True)
class CheckOutcome:
    """The outcome of a check. `final`: it can't pass any more. `by`: who confirmed or waived it."""

    result: CheckResult
    message: str = ""
    final: bool = False
    by: str | None = None


PASSED = CheckOutcome(CheckResult.PASS)


def failed(message: str, *, final: bool = False) -> CheckOutcome:
    """The item fails."""
    return CheckOutcome(CheckResult.FAIL, message, final)


def pending(message: str) -> CheckOutcome:
    """It is not known yet."""
    return CheckOutcome(CheckResult.PENDING, message)
