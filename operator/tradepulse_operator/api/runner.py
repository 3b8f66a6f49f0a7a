"""TradingRunner: what should run."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from pydantic import Field

from tradepulse_operator.api.runner_status import TradingRunnerStatus
from tradepulse_operator.api.spec.admin import Admin
from tradepulse_operator.api.spec.cutover import CutoverSettings
from tradepulse_operator.api.spec.database import Database
from tradepulse_operator.api.spec.drill import KillSwitchDrill
from tradepulse_operator.api.spec.event_bus import EventBus
from tradepulse_operator.api.spec.kill_switch import KillSwitch
from tradepulse_operator.api.spec.monitoring import Monitoring
from tradepulse_operator.api.spec.pod import Pod
from tradepulse_operator.api.spec.risk import Risk
from tradepulse_operator.api.spec.state import State
from tradepulse_operator.api.spec.strategy import Strategy
from tradepulse_operator.api.spec.venue import Venue
from tradepulse_operator.common.names import GROUP

from .base import Model, required, rule, unique
from .meta import Meta
from .release import ReleaseSpec
from .units import (
    LONGEST_RUNNER,
    RUNNER_HINT,
    RUNNER_PATTERN,
    seconds,
)

#: The API server's own finalizer rules ask for a domain; it holds the object until orders are out.
CLEAN_STOP = f"{GROUP}/clean-stop"


_TEMPLATE = "self.cutover.template.guardrails"
_BASELINE = "self.cutover.template.baseline"


def _gap_is_longer_than_a_scrape(spec: TradingRunnerSpec) -> bool:
    gap = spec.cutover.template.guardrails.metric_gap
    return gap is None or seconds(gap) > seconds(spec.monitoring.scrape_interval)


def _window_holds_two_scrapes(spec: TradingRunnerSpec) -> bool:
    window = seconds(spec.cutover.template.guardrails.window)
    return window >= 2 * seconds(spec.monitoring.scrape_interval)


class TradingRunnerSpec(Model):
    """What should run. Belongs to Git: the operator never writes it."""

    cel = (
        rule(
            "self.venues.all(a, self.venues.exists_one(b, b.name == a.name))",
            "venues must have different names: rename one",
            ".venues",
            holds=lambda it: unique(venue.name for venue in it.venues),
            needs=["venues"],
        ),
        rule(
            f"!has({_TEMPLATE}.metricGap)"
            f" || duration({_TEMPLATE}.metricGap) > duration(self.monitoring.scrapeInterval)",
            "metricGap must be longer than monitoring.scrapeInterval, else every scrape is a gap:"
            " raise metricGap or scrape more often",
            ".cutover.template.guardrails.metricGap",
            holds=_gap_is_longer_than_a_scrape,
        ),
        rule(
            f"duration({_TEMPLATE}.window) >= duration(self.monitoring.scrapeInterval)"
            " + duration(self.monitoring.scrapeInterval)",
            "window must hold two scrapes, else nothing can be judged: raise window to twice"
            " monitoring.scrapeInterval, or scrape more often",
            ".cutover.template.guardrails.window",
            holds=_window_holds_two_scrapes,
        ),
        rule(
            f"!has({_BASELINE}.kafka) || (has(self.eventBus) && self.eventBus.readers.size() > 0)",
            "baseline.kafka belongs to eventBus.readers: name the consumer groups there, or remove"
            " kafka",
            ".cutover.template.baseline.kafka",
            holds=lambda it: (
                it.cutover.template.baseline.kafka is None
                or (it.event_bus is not None and bool(it.event_bus.readers))
            ),
        ),
        rule(
            f"!has({_BASELINE}.postgres) || has(self.database)",
            "baseline.postgres belongs to database: add spec.database, or remove postgres",
            ".cutover.template.baseline.postgres",
            holds=lambda it: (
                it.cutover.template.baseline.postgres is None or it.database is not None
            ),
        ),
    )

    release: ReleaseSpec = Field(
        description="The release that is wanted.",
        json_schema_extra=required("name the image that runs, release.image"),
    )
    strategy: Strategy = Field(
        description="The strategy that trades.",
        json_schema_extra=required("name the strategy that trades, strategy.name"),
    )
    venues: Annotated[tuple[Venue, ...], Field(min_length=1, max_length=8)] = Field(
        description="Venues that the runner trades at.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            **required("list at least one venue, with name, connector and symbols"),
        },
    )
    risk: Risk = Field(
        description="Limits that no order may pass; a runner without them is refused (RTS 6, art."
        " 8).",
        json_schema_extra=required(
            "a runner without limits never trades (RTS 6, art. 8): set maxPosition, maxNotional,"
            " maxOrderNotional, maxOrdersPerInterval, maxDailyLoss and priceCollar"
        ),
    )
    state: State = Field(default=State(), description="The volume of the order state.")
    kill_switch: KillSwitch = Field(default=KillSwitch(), description="The kill switch.")
    kill_switch_drill: KillSwitchDrill | None = Field(
        default=None, description="Scheduled drills of the kill switch; none when left out."
    )
    database: Database | None = Field(
        default=None,
        description="PostgreSQL database for the audit trail and copies of the state; they stay on"
        " the volume alone when left out.",
    )
    event_bus: EventBus | None = Field(
        default=None,
        description="Kafka, to which ticks, signals, orders and fills are published; none when left"
        " out.",
    )
    monitoring: Monitoring = Field(default=Monitoring(), description="Monitoring.")
    cutover: CutoverSettings = Field(
        default=CutoverSettings(), description="What happens when the release changes."
    )
    admin: Admin | None = Field(
        default=None,
        description="Admin surface for people (HTTPS); nothing listens when left out.",
    )
    pod: Pod = Field(default=Pod(), description="Where and how the pod runs.")
    suspend: bool = Field(
        default=False, description="Stop trading cleanly and keep everything else."
    )


class TradingRunner(Model):
    """A trading runner: one process that holds live orders at one or more venues."""

    KIND: ClassVar[str] = "TradingRunner"
    PLURAL: ClassVar[str] = "tradingrunners"
    SHORT: ClassVar[str] = "tr"

    cel = (
        rule(
            f"self.metadata.name.size() <= {LONGEST_RUNNER}",
            f"metadata.name must not be longer than {LONGEST_RUNNER} characters: shorten it",
            ".metadata.name",
            holds=lambda it: len(it.metadata.name) <= LONGEST_RUNNER,
        ),
        rule(
            f"self.metadata.name.matches(r'{RUNNER_PATTERN}')",
            f"metadata.name is {RUNNER_HINT}",
            ".metadata.name",
            holds=lambda it: bool(re.fullmatch(RUNNER_PATTERN, it.metadata.name)),
        ),
    )

    metadata: Meta
    spec: TradingRunnerSpec = Field(
        description="What should run. Belongs to Git: the operator never writes it.",
        json_schema_extra=required("say what should run, see manifests/samples"),
    )
    status: TradingRunnerStatus = Field(
        default=TradingRunnerStatus(), description="What runs. Written by the operator."
    )
