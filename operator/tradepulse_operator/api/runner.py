"""TradingRunner: what should run."""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tradepulse_operator.api.spec.admin import Admin
from tradepulse_operator.api.spec.database import Database
from tradepulse_operator.api.spec.drill import DrillStatus, KillSwitchDrill, LastDrill
from tradepulse_operator.api.spec.event_bus import EventBus
from tradepulse_operator.api.spec.object_store import ObjectStore
from tradepulse_operator.common.names import GROUP

from .base import Model, Rule, distinct, immutable, matches, required, rule, unique
from .guardrails import CutoverPolicy
from .meta import Condition, Meta
from .release import Release, ReleaseSpec
from .units import (
    LONGEST_RUNNER,
    RUNNER_HINT,
    RUNNER_PATTERN,
    Amount,
    Cpu,
    Duration,
    FreeForm,
    Instant,
    LabelKey,
    Labels,
    LabelValue,
    Line,
    Message,
    Name,
    ObjectName,
    Quantity,
    Share,
    Text,
    seconds,
)

#: The API server's own finalizer rules ask for a domain; it holds the object until orders are out.
CLEAN_STOP = f"{GROUP}/clean-stop"


class Strategy(Model):
    """The strategy that trades."""

    name: Name = Field(
        description="Name of a strategy that the image ships.",
        json_schema_extra=required("name a strategy that the image ships"),
    )
    parameters: FreeForm = Field(
        default={}, description="Parameters of the strategy; their meaning is the strategy's own."
    )


class Connector(StrEnum):
    """Venue protocols the runner speaks."""

    PAPER = "paper"
    BINANCE = "binance"
    COINBASE = "coinbase"


Symbol = Annotated[
    str,
    Field(max_length=32),
    matches(
        r"^[A-Z0-9]+([-/][A-Z0-9]+)*$",
        "not a symbol: write capital letters and digits, joined by '-' or '/', e.g. BTC-USD",
    ),
]
_SYMBOLS = distinct("symbols must be different: remove the one that is listed twice")


class Venue(Model):
    """A venue that the runner trades at."""

    cel = (
        rule(
            "self.connector == 'paper' || has(self.credentialsSecret)",
            "credentialsSecret is required for a real venue: name the Secret that holds the API"
            " key",
            ".credentialsSecret",
            holds=lambda it: it.connector is Connector.PAPER or it.credentials_secret is not None,
            needs=["connector"],
        ),
    )

    name: Name = Field(description="Name of the venue, unique in its runner.")
    connector: Connector = Field(
        description="Protocol: paper, binance or coinbase.",
        json_schema_extra=required("write paper, binance or coinbase"),
    )
    sandbox: bool = Field(default=True, description="Trade at the venue's sandbox.")
    credentials_secret: ObjectName | None = Field(
        default=None,
        description="Secret with the API credentials; mounted as files, never read by the"
        " operator.",
    )
    symbols: Annotated[tuple[Symbol, ...], Field(min_length=1, max_length=64), _SYMBOLS] = Field(
        description="Instruments that may be traded, e.g. BTC-USD, paid in one currency; all others"
        " are refused.",
        json_schema_extra={
            "x-kubernetes-list-type": "set",
            **required("list the instruments that may be traded, e.g. BTC-USD"),
        },
    )
    options: FreeForm = Field(
        default={}, description="Options of the connector, e.g. the paper venue's seed."
    )


class Reclaim(StrEnum):
    """What becomes of the state volume when the runner is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"


class Backups(Model):
    """Backups of the order state."""

    keep: Annotated[int, Field(ge=1, le=100)] = Field(
        default=5, description="Backups kept on the state volume."
    )
    object_store: ObjectStore | None = Field(
        default=None,
        description="Bucket that backups and incident reports are copied to; they stay on the"
        " volume alone when left out.",
    )


class State(Model):
    """The volume that holds the order-management state."""

    cel = (
        Rule(
            "quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0",
            "size can only grow, a volume never shrinks: write the old size or a larger one",
            ".size",
            reason="FieldValueForbidden",
        ),
        immutable("storageClass", "create a new runner to move its state", optional=True),
        immutable("accessMode", "create a new runner to move its state"),
    )

    size: Quantity = Field(default="1Gi", description="Size of the volume; it can only grow.")
    storage_class: ObjectName | None = Field(
        default=None, description="Storage class; the cluster's default when left out."
    )
    access_mode: Literal["ReadWriteOncePod", "ReadWriteOnce"] = Field(
        default="ReadWriteOncePod",
        description="ReadWriteOncePod keeps a second pod from the state; ReadWriteOnce only where"
        " the storage driver can't do that.",
    )
    reclaim: Reclaim = Field(
        default=Reclaim.RETAIN,
        description="Retain keeps the volume when the runner is deleted, Delete removes it.",
    )
    backups: Backups = Field(default=Backups(), description="Backups of the order state.")


_WHY = "(RTS 6, art. 8)"


class Risk(Model):
    """Limits that no order may pass; a runner without limits is refused (RTS 6, art. 8)."""

    cel = (
        rule(
            "quantity(self.maxOrderNotional).compareTo(quantity(self.maxNotional)) <= 0",
            "maxOrderNotional must not be above maxNotional, such an order could never be sent:"
            " lower it",
            ".maxOrderNotional",
            holds=lambda it: Decimal(it.max_order_notional) <= Decimal(it.max_notional),
            needs=["maxOrderNotional", "maxNotional"],
        ),
        rule(
            "!has(self.softDailyLoss)"
            " || quantity(self.softDailyLoss).compareTo(quantity(self.maxDailyLoss)) < 0",
            "softDailyLoss must be below maxDailyLoss, which stops trading altogether: lower it",
            ".softDailyLoss",
            holds=lambda it: (
                it.soft_daily_loss is None
                or Decimal(it.soft_daily_loss) < Decimal(it.max_daily_loss)
            ),
            needs=["maxDailyLoss"],
        ),
        rule(
            "!has(self.killSwitchLimitMultiplier)"
            " || quantity(self.killSwitchLimitMultiplier).compareTo(quantity('1')) >= 0",
            "killSwitchLimitMultiplier must be at least 1, below it an order that keeps its limits"
            " would count as absurd: raise it",
            ".killSwitchLimitMultiplier",
            holds=lambda it: (
                it.kill_switch_limit_multiplier is None
                or Decimal(it.kill_switch_limit_multiplier) >= 1
            ),
        ),
        rule(
            "has(self.maxDuplicates) == has(self.duplicateWindowSeconds)",
            "maxDuplicates and duplicateWindowSeconds belong together: set both or none",
            ".maxDuplicates",
            holds=lambda it: (it.max_duplicates is None) == (it.duplicate_window_seconds is None),
        ),
    )

    max_position: Amount = Field(
        description="Largest position per symbol, in base units.",
        json_schema_extra=required(f'set the largest position per symbol, e.g. "5" {_WHY}'),
    )
    max_notional: Amount = Field(
        description="Largest total exposure, in quote currency.",
        json_schema_extra=required(f'set the largest total exposure, e.g. "500000" {_WHY}'),
    )
    max_order_notional: Amount = Field(
        description="Largest single order, in quote currency.",
        json_schema_extra=required(f'set the largest single order, e.g. "20000" {_WHY}'),
    )
    max_orders_per_interval: Annotated[int, Field(ge=1, le=100_000)] = Field(
        description="Orders per interval that may leave the runner, and as many cancels; what the"
        " kill switch or a halt cancels is never held back.",
        json_schema_extra=required(f"set how many orders may leave per interval, e.g. 60 {_WHY}"),
    )
    interval_seconds: Annotated[int, Field(ge=1, le=3600)] = Field(
        default=1, description="Length of that interval, in seconds."
    )
    max_daily_loss: Amount = Field(
        description="Loss per UTC day, in quote currency and over all venues that share it, that"
        " engages the kill switch.",
        json_schema_extra=required(f'set the loss that stops trading, e.g. "10000" {_WHY}'),
    )
    price_collar: Share = Field(
        description="Largest distance of a limit price from the market, as a share: 0.05 is 5 %.",
        json_schema_extra=required(
            f'set the largest distance from the market, e.g. "0.05" for 5 percent {_WHY}'
        ),
    )
    max_order_quantity: Amount | None = Field(
        default=None, description="Largest single order, in base units; none when left out."
    )
    soft_daily_loss: Amount | None = Field(
        default=None,
        description="Loss per UTC day from which on only orders leave that reduce a position.",
    )
    max_duplicates: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None,
        description="Orders of the same side, quantity and price that may leave per"
        " duplicateWindowSeconds; not counted when left out.",
    )
    duplicate_window_seconds: Annotated[int, Field(ge=1, le=3600)] | None = Field(
        default=None, description="Length of the window of maxDuplicates, in seconds."
    )
    kill_switch_limit_multiplier: Amount | None = Field(
        default=None,
        description="How many times a limit of one order makes an order absurd; 1.5 when left out.",
    )
    kill_switch_violation_threshold: Annotated[int, Field(ge=0, le=100_000)] | None = Field(
        default=None,
        description="Absurd orders in a row that engage the kill switch; 3 when left out, 0 is"
        " never.",
    )
    kill_switch_rate_limit_threshold: Annotated[int, Field(ge=0, le=100_000)] | None = Field(
        default=None,
        description="Intervals in a row with orders held back that engage the kill switch; 10 when"
        " left out, 0 is never.",
    )


class KillSwitch(Model):
    """The kill switch: engaged here, it is latched in the runner until a person resets it there."""

    cel = (
        rule(
            "!self.engaged || self.reason.matches('[^ ]')",
            "killSwitch.reason is required when it is engaged: say who stops trading and why",
            ".reason",
            holds=lambda it: not it.engaged or bool(re.search("[^ ]", it.reason)),
        ),
    )

    engaged: bool = Field(default=False, description="Stop trading and cancel every order.")
    reason: Line = Field(default="", description="Who stops trading, and why.")


class Monitoring(Model):
    """How Prometheus finds the runner."""

    scrape_interval: Duration = Field(default="15s", description="Interval of the ServiceMonitor.")
    labels: Labels = Field(
        default={},
        description="Labels of the ServiceMonitor, as your Prometheus selects them.",
    )


class CutoverMode(StrEnum):
    """Who starts a cutover when the spec's release changes."""

    AUTOMATIC = "Automatic"
    MANUAL = "Manual"


class CutoverSettings(Model):
    """What happens when the release changes."""

    mode: CutoverMode = Field(
        default=CutoverMode.AUTOMATIC,
        description="Automatic starts a ReleaseCutover from the template; Manual waits for one.",
    )
    template: CutoverPolicy = Field(
        default=CutoverPolicy(), description="Policy of automatic cutovers."
    )
    history_limit: Annotated[int, Field(ge=1, le=100)] = Field(
        default=10, description="Finished ReleaseCutovers kept."
    )


class Resources(Model):
    """Compute resources of the runner's container."""

    cpu: Cpu = Field(
        default="100m", description="CPU request; there is no CPU limit, which would add latency."
    )
    memory: Quantity = Field(default="256Mi", description="Memory request and limit.")


class Toleration(Model):
    """Taint that the pod tolerates."""

    cel = (
        rule(
            "self.operator == 'Exists' || has(self.key)",
            "key is required with operator Equal: name the taint, or write operator Exists",
            ".key",
            holds=lambda it: it.operator == "Exists" or it.key is not None,
        ),
        rule(
            "self.operator == 'Equal' || !has(self.value)",
            "value must be left out with operator Exists: remove it, or write operator Equal",
            ".value",
            holds=lambda it: it.operator == "Equal" or it.value is None,
        ),
    )

    key: LabelKey | None = Field(default=None, description="Key of the taint.")
    operator: Literal["Equal", "Exists"] = Field(default="Equal", description="Equal or Exists.")
    value: LabelValue | None = Field(default=None, description="Value of the taint.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint; every effect when left out."
    )


class Pod(Model):
    """Where and how the runner's pod runs; a change takes effect with the next restart."""

    resources: Resources = Field(default=Resources(), description="Compute resources.")
    node_selector: Labels = Field(default={}, description="Labels that the node must have.")
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = Field(
        default=(), description="Taints that the pod tolerates."
    )
    image_pull_secrets: Annotated[tuple[ObjectName, ...], Field(max_length=8)] = Field(
        default=(), description="Secrets for pulling the image."
    )
    termination_grace_period_seconds: Annotated[int, Field(ge=10, le=3600)] = Field(
        default=60, description="Time to cancel orders and flush the state before SIGKILL."
    )


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
        description="Kafka, to which ticks, signals, orders and fills are told; nobody when left"
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


class RunnerPhase(StrEnum):
    """Summary of a runner for people; conditions say more."""

    PENDING = "Pending"
    STARTING = "Starting"
    TRADING = "Trading"
    CUTTING_OVER = "CuttingOver"
    HALTED = "Halted"
    SUSPENDED = "Suspended"
    STOPPING = "Stopping"
    STALLED = "Stalled"


class HistoryEntry(Model):
    """A release that ran."""

    release: Release = Field(description="The release.")
    since: Instant = Field(description="When it became active, RFC 3339.")
    cutover: Text | None = Field(default=None, description="The cutover that brought it.")


class RejectedRelease(Model):
    """A release that was rolled back; not tried again by itself."""

    release: Release = Field(description="The release.")
    cutover: Text = Field(description="The cutover that rejected it.")
    reason: Message = Field(description="Why it was rolled back.")
    at: Instant = Field(description="When, RFC 3339.")


class TradingRunnerStatus(Model):
    """What runs."""

    observed_generation: int = Field(default=0, description="Generation this status speaks of.")
    phase: RunnerPhase | None = Field(default=None, description="Summary for people.")
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = Field(
        default=(),
        description="Observations: Ready, TradingEnabled, KillSwitch, ReleaseDrift; Reconciling"
        " and Stalled only while True.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    )
    active_release: Release | None = Field(default=None, description="The release that runs.")
    previous_release: Release | None = Field(default=None, description="The release before it.")
    agreed_release: Text | None = Field(
        default=None,
        description="Id of the release in which spec and active release last agreed. While the spec"
        " still means that one, a cutover by hand away from it isn't undone.",
    )
    cutover: Text | None = Field(default=None, description="The cutover in progress.")
    history: Annotated[tuple[HistoryEntry, ...], Field(max_length=32)] = Field(
        default=(), description="Releases that ran, newest first; ten at most."
    )
    rejected_releases: Annotated[tuple[RejectedRelease, ...], Field(max_length=32)] = Field(
        default=(), description="Releases rolled back, newest first; ten at most."
    )
    drill: DrillStatus | None = Field(
        default=None, description="Where the schedule of the kill-switch drills stands."
    )
    last_drill: LastDrill | None = Field(
        default=None, description="The kill-switch drill that ended last."
    )
    writer_epoch: int | None = Field(
        default=None, description="Fencing epoch of the running process, rises with every start."
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
