"""The guardrails over everything since the beginning, in addition to the window.

Where orders are rare, only that many together distinguish a bad release from bad luck.
"""

from __future__ import annotations

from dataclasses import replace

from tradepulse_operator.api.cutover_status import VerdictKind
from tradepulse_operator.api.reasons import GuardReason

from .limits import Limits
from .results import ERROR_RATE, P95_LATENCY, GuardrailResult, Verdict
from .tally import SLOWER, Tally, beyond_chance


def overall(tally: Tally, limits: Limits) -> tuple[GuardrailResult, ...]:
    """The guardrails whose share of everything seen is above its limit: a breach where chance can't
    explain it, unknown where it can."""
    findings = (
        _above(
            ERROR_RATE,
            GuardReason.ERROR_RATE_ABOVE_LIMIT,
            tally.failed,
            tally.requests,
            limits.error_rate,
        ),
        _above(P95_LATENCY, GuardReason.LATENCY_ABOVE_LIMIT, tally.slow, tally.timed, SLOWER),
    )
    return tuple(one for one in findings if one)


def weighed(verdict: Verdict, tally: Tally, limits: Limits) -> Verdict:
    """`verdict`, of a window, with what everything together proves."""
    proven = [one for one in overall(tally, limits) if one.kind is VerdictKind.BREACH]
    return replace(verdict, findings=(*verdict.findings, *proven))


def _above(
    guardrail: str, reason: GuardReason, bad: float, total: float, limit: float
) -> GuardrailResult | None:
    if total <= 0 or bad <= limit * total:
        return None
    what = "failed" if guardrail == ERROR_RATE else "slower than the limit"
    message = f"{bad:g} of all {total:g} requests {what}, allowed are at most {limit:g} of them"
    if beyond_chance(bad, total, limit):
        return GuardrailResult(VerdictKind.BREACH, guardrail, reason, message, bad / total, limit)
    doubt = f"{message}; too few to rule out chance"
    return GuardrailResult(VerdictKind.UNKNOWN, guardrail, reason, doubt, bad / total, limit)
