"""The limits of a cutover as numbers: seconds and shares."""

from __future__ import annotations

from dataclasses import dataclass

from tradepulse_operator.api.guardrails import CustomGuardrail, Guardrails
from tradepulse_operator.api.units import seconds


@dataclass(frozen=True)
class Limits:
    """The limits by which a release is judged. All times in seconds."""

    interval: float
    window: float
    scrape: float
    metric_gap: float
    error_rate: float
    p95: float
    consecutive: int
    min_requests: int
    custom: tuple[CustomGuardrail, ...] = ()
    #: Seconds that must be verified as good before the release is promoted.
    required: float = 0.0
    #: Seconds without evidence after which waiting ends; None waits for ever.
    patience: float | None = None
    #: Whether too few requests to judge are no doubt: for a release that was judged good before.
    quiet: bool = False

    @property
    def settle(self) -> float:
        """How long after an instant it may be judged.

        Prometheus stamps a sample with the start of its scrape and stores it at the end: a sample
        of an instant may be visible only a moment later. A second is long for a scrape inside a
        cluster; a tenth of the interval keeps the wait small where judgements are frequent.
        """
        return min(1.0, self.interval / 10)

    @property
    def lookback(self) -> float:
        """How far before the first instant to judge its samples reach.

        An increase counts at the later of two samples, which are a window apart at most; a silence
        is noticed an interval after it ended, at the latest.
        """
        return 2 * self.window + 4 * self.metric_gap + self.interval


def limits(
    guardrails: Guardrails,
    scrape: str,
    *,
    required: float = 0.0,
    patience: float | None = None,
    quiet: bool = False,
) -> Limits:
    """`guardrails` of a runner that is scraped every `scrape` (a duration).

    A gap is two missed scrapes and a second by default: one scrape may always fail.
    """
    every = seconds(scrape)
    return Limits(
        interval=seconds(guardrails.interval),
        window=seconds(guardrails.window),
        scrape=every,
        metric_gap=seconds(guardrails.metric_gap) if guardrails.metric_gap else 2 * every + 1,
        error_rate=guardrails.error_rate,
        p95=seconds(guardrails.p95_latency),
        consecutive=guardrails.consecutive,
        min_requests=guardrails.min_requests,
        custom=guardrails.custom,
        required=required,
        patience=patience,
        quiet=quiet,
    )
