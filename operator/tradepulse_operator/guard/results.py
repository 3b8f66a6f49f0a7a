"""What one guardrail, and all of them together, say about one instant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tradepulse_operator.api.cutover_status import VerdictKind
from tradepulse_operator.api.reasons import GuardReason

#: Names of the built-in guardrails, as they appear in the spec.
ERROR_RATE = "errorRate"
P95_LATENCY = "p95Latency"
METRIC_GAP = "metricGap"


@dataclass(frozen=True)
class GuardrailResult:
    """One guardrail at one instant. `message` is for a person.

    `sure`: chance can't explain it. What isn't sure is no reason to go back, nor to promote.
    """

    kind: VerdictKind
    guardrail: str
    reason: GuardReason
    message: str
    value: float | None = None
    limit: float | None = None
    sure: bool = True


#: A silent runner's numbers are of the past, so a gap speaks before a breach; and what is proven
#: by one guardrail stands even though another one is unknown.
_PRIORITY = (VerdictKind.GAP, VerdictKind.BREACH, VerdictKind.UNKNOWN, VerdictKind.OK)


@dataclass(frozen=True)
class Verdict:
    """The judgement of the instant `at` (unix seconds); `findings` has at least one."""

    at: float
    findings: tuple[GuardrailResult, ...]

    @property
    def decisive(self) -> GuardrailResult:
        """The finding that makes the verdict: gap before breach before unknown before ok, and of
        two of a kind the one that is sure."""
        return min(
            self.findings, key=lambda finding: (_PRIORITY.index(finding.kind), not finding.sure)
        )

    @property
    def kind(self) -> VerdictKind:
        """ok, breach, gap or unknown."""
        return self.decisive.kind

    @property
    def sure(self) -> bool:
        """Whether a gap or a breach among the findings can't be chance."""
        bad = (VerdictKind.GAP, VerdictKind.BREACH)
        return any(finding.sure for finding in self.findings if finding.kind in bad)

    @property
    def conclusive(self) -> bool:
        """Whether anything is known at all."""
        return self.kind is not VerdictKind.UNKNOWN


def unknown(guardrail: str, reason: GuardReason, message: str) -> GuardrailResult:
    """A result without enough evidence to decide."""
    return GuardrailResult(VerdictKind.UNKNOWN, guardrail, reason, message)


def verdict(at: float, findings: Sequence[GuardrailResult]) -> Verdict:
    """`findings` of the instant `at` as a verdict."""
    return Verdict(at, tuple(findings))
