"""Prometheus series of the runner. Every labelled series exists, at 0, in the first scrape:
a series that appears only after the first event looks like a gap in the samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from tradepulse_runner.guard.slo import LATENCY_BUCKETS
from tradepulse_runner.live.phase import TradingMode
from tradepulse_runner.live.reconciliation import Drift
from tradepulse_runner.live.trading_state import TradingState
from tradepulse_runner.risk.manager import OUTCOMES


class RunnerMetrics:
    """One registry; no module globals, so tests and embedders can have several."""

    def __init__(
        self,
        venues: Iterable[str],
        *,
        version: str = "",
        revision: str = "",
        config_hash: str = "",
    ) -> None:
        self.registry = reg = CollectorRegistry()
        ProcessCollector(registry=reg)
        self.heartbeat = Gauge(
            "live_loop_heartbeat",
            "When the last heartbeat of the trading loop completed.",
            registry=reg,
        )
        self.submitted = Counter(
            "live_loop_orders_submitted", "Order requests sent to a venue.", ["venue"], registry=reg
        )
        self.position_timestamp = Gauge(
            "live_loop_position_snapshot_timestamp",
            "When positions were last read from a venue.",
            ["venue"],
            registry=reg,
        )
        self.outcomes = Counter(
            "tradepulse_order_outcomes",
            "Answers to order requests: ok or error; no answer counts as an error.",
            ["venue", "outcome"],
            registry=reg,
        )
        self.latency = Histogram(
            "tradepulse_order_latency_seconds",
            "Time from an order request to the venue's answer.",
            ["venue"],
            buckets=LATENCY_BUCKETS,
            registry=reg,
        )
        self.risk = Counter(
            "tradepulse_risk_validations",
            "Pre-trade risk checks of orders, by outcome.",
            ["outcome"],
            registry=reg,
        )
        self.kill_switch = Gauge(
            "tradepulse_kill_switch_engaged", "1 while the kill switch is engaged.", registry=reg
        )
        self.uncancelled = Gauge(
            "tradepulse_kill_switch_uncancelled_orders",
            "Open orders that the engaged kill switch has not cancelled yet.",
            ["venue"],
            registry=reg,
        )
        self.trading_state = Gauge(
            "tradepulse_trading_state",
            "1 for the current trading state, 0 for every other.",
            ["state"],
            registry=reg,
        )
        self.open_orders = Gauge(
            "tradepulse_open_orders",
            "Orders that are open, or may be open, at a venue.",
            ["venue"],
            registry=reg,
        )
        self.drift = Counter(
            "tradepulse_reconciliation_drift",
            "Differences between the runner's order book and the venue that a"
            " reconciliation found.",
            ["venue", "kind"],
            registry=reg,
        )
        self.epoch = Gauge(
            "tradepulse_writer_epoch",
            "Writer epoch of this process: rises with every new holder of the writer lease.",
            registry=reg,
        )
        info = Gauge(
            "tradepulse_runner_info",
            "1 always; the labels name the running build and configuration.",
            ["version", "revision", "config_hash"],
            registry=reg,
        )
        info.labels(version, revision, config_hash).set(1)
        self._create_series(venues)

    def _create_series(self, venues: Iterable[str]) -> None:
        self._venues = list(venues)
        for venue in self._venues:
            self.uncancelled.labels(venue)
            self.submitted.labels(venue)
            self.position_timestamp.labels(venue)
            self.latency.labels(venue)
            self.open_orders.labels(venue)
            for kind in Drift:
                self.drift.labels(venue, kind)
            for outcome in ("ok", "error"):
                self.outcomes.labels(venue, outcome)
        for outcome in OUTCOMES:
            self.risk.labels(outcome)
        for mode in TradingMode:
            self.trading_state.labels(mode)

    def follow_state(self, state: TradingState) -> None:
        """Read ``state`` at each scrape, so that the series is never late."""
        for mode in TradingMode:
            self.trading_state.labels(mode).set_function(partial(_is, state, mode))

    def follow_kill_switch(self, engaged: Callable[[], bool]) -> None:
        """Take whether the kill switch is engaged from ``engaged`` at each scrape."""
        self.kill_switch.set_function(lambda: float(engaged()))

    def follow_uncancelled(self, current: Callable[[], Mapping[str, int]]) -> None:
        """Read the number of orders not cancelled yet, by venue, from ``current`` at each
        scrape."""
        for venue in self._venues:
            self.uncancelled.labels(venue).set_function(partial(_of, current, venue))

    def render(self) -> bytes:
        """Text exposition."""
        return generate_latest(self.registry)


def _of(current: Callable[[], Mapping[str, int]], venue: str) -> float:
    return float(current().get(venue, 0))


def _is(state: TradingState, mode: TradingMode) -> float:
    return float(state.phase.mode is mode)
