"""What was found of an item of the checklist."""

from __future__ import annotations

from dataclasses import dataclass

from tradepulse_operator.api.checklist import CheckResult


@dataclass(frozen=True)
class Finding:
    """What was found. `final`: it can't come true any more. `by`: who said so."""

    result: CheckResult
    message: str = ""
    final: bool = False
    by: str | None = None


PASSED = Finding(CheckResult.PASS)


def failed(message: str, *, final: bool = False) -> Finding:
    """It doesn't hold."""
    return Finding(CheckResult.FAIL, message, final)


def pending(message: str) -> Finding:
    """It can't be told yet."""
    return Finding(CheckResult.PENDING, message)
