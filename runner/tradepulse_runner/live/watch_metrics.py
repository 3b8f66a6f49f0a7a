"""Series for alert rules: phase, orders in doubt, damaged files, the share of the daily loss used.

All of them are computed at the scrape, so none is ever stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge

from tradepulse_runner.live.loss import DailyLoss
from tradepulse_runner.live.phase import Phase
from tradepulse_runner.live.session import VenueSession
from tradepulse_runner.live.trading_state import TradingState


class WatchMetrics:
    """``venues``: all configured ones; every series exists in the first scrape."""

    def __init__(self, registry: CollectorRegistry, venues: Mapping[str, object]) -> None:
        self._venues = list(venues)
        self._phase = Gauge(
            "tradepulse_runner_phase",
            "1 for the current phase of the runner, 0 for every other.",
            ["phase"],
            registry=registry,
        )
        self._unknown = Gauge(
            "tradepulse_unknown_orders",
            "Orders in state UNKNOWN: a request was sent and its outcome at the venue is"
            " not known.",
            ["venue"],
            registry=registry,
        )
        self._damaged = Gauge(
            "tradepulse_state_damaged_files",
            "Snapshots and journal segments found damaged at the start of the process.",
            ["venue"],
            registry=registry,
        )
        self._loss = Gauge(
            "tradepulse_daily_loss_share",
            "Today's largest loss as a share of risk.max_daily_loss; at 1 the kill switch engages.",
            registry=registry,
        )
        self.refused = Counter(
            "tradepulse_credentials_refused",
            "Requests that a venue rejected because of the credentials.",
            ["venue"],
            registry=registry,
        )
        for venue in self._venues:
            for series in (self._unknown, self._damaged, self.refused):
                series.labels(venue)

    def follow(
        self,
        state: TradingState,
        sessions: Mapping[str, VenueSession],
        loss: DailyLoss,
    ) -> None:
        """Read these at each scrape from now on; ``sessions`` may still be filled."""
        for phase in Phase:
            self._phase.labels(phase).set_function(partial(_is, state, phase))
        self._loss.set_function(partial(_share, loss))
        for venue in self._venues:
            self._unknown.labels(venue).set_function(partial(_unknown, sessions, venue))
            self._damaged.labels(venue).set_function(partial(_damaged, sessions, venue))


def _is(state: TradingState, phase: Phase) -> float:
    return float(state.phase is phase)


def _share(loss: DailyLoss) -> float:
    return loss.share


def _unknown(sessions: Mapping[str, VenueSession], venue: str) -> float:
    session = sessions.get(venue)
    return float(len(session.oms.state.unresolved())) if session else 0.0


def _damaged(sessions: Mapping[str, VenueSession], venue: str) -> float:
    session = sessions.get(venue)
    return float(session.oms.damaged) if session else 0.0
