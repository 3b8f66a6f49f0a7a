"""TradingRunner: what should run."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from .base import GROUP, Model, immutable, rule
from .guardrails import CutoverPolicy
from .meta import Condition, Meta
from .release import Release, ReleaseSpec
from .units import Amount, Duration, FreeForm, Name, Quantity

#: The API server's own finalizer rules ask for a domain; it holds the object until orders are out.
CLEAN_STOP = f"{GROUP}/clean-stop"


class Strategy(Model):
    """The strategy that trades."""

    name: Name = Field(description="Name of a strategy that the image ships.")
    parameters: FreeForm = Field(
        default={}, description="Parameters of the strategy; their meaning is the strategy's own."
    )


class Connector(StrEnum):
    """Venue protocols the runner speaks."""

    PAPER = "paper"
    BINANCE = "binance"
    COINBASE = "coinbase"


class Venue(Model):
    """A venue that the runner trades at."""

    cel = (
        rule(
            "self.connector == 'paper' || has(self.credentialsSecret)",
            "credentialsSecret is required for a real venue: name the Secret that holds the API"
            " key",
            ".credentialsSecret",
        ),
    )

    name: Name = Field(description="Name of the venue, unique in its runner.")
    connector: Connector = Field(description="Protocol: paper, binance or coinbase.")
    sandbox: bool = Field(default=True, description="Trade at the venue's sandbox.")
    credentials_secret: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        default=None,
        description="Secret with the API credentials; mounted as files, never read by the"
        " operator.",
    )
    symbols: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[A-Z0-9]+([-/][A-Z0-9]+)*$", max_length=32)], ...],
        Field(min_length=1, max_length=64),
    ] = Field(
        description="Instruments that may be traded, e.g. BTC-USD; all others are refused.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
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


class State(Model):
    """The volume that holds the order-management state."""

    cel = (
        immutable("storageClass", "create a new runner to move its state", optional=True),
        immutable("accessMode", "create a new runner to move its state"),
    )

    size: Quantity = Field(default="1Gi", description="Size of the volume; it can only grow.")
    storage_class: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        default=None, description="Storage class; the cluster's default when left out."
    )
    access_mode: Annotated[str, Field(pattern="^(ReadWriteOncePod|ReadWriteOnce)$")] = Field(
        default="ReadWriteOncePod",
        description="ReadWriteOncePod keeps a second pod from the state; ReadWriteOnce only where"
        " the storage driver can't do that.",
    )
    reclaim: Reclaim = Field(
        default=Reclaim.RETAIN,
        description="Retain keeps the volume when the runner is deleted, Delete removes it.",
    )
    backups: Backups = Field(default=Backups(), description="Backups of the order state.")


class Risk(Model):
    """Limits that no order may pass; a runner without limits is refused (RTS 6, art. 8)."""

    max_position: Amount = Field(description="Largest position per symbol, in base units.")
    max_notional: Amount = Field(description="Largest total exposure, in quote currency.")
    max_order_notional: Amount = Field(description="Largest single order, in quote currency.")
    max_orders_per_interval: Annotated[int, Field(ge=1, le=100_000)] = Field(
        description="Orders and cancels per interval that may leave the runner."
    )
    interval_seconds: Annotated[int, Field(ge=1, le=3600)] = Field(
        default=1, description="Length of that interval, in seconds."
    )
    max_daily_loss: Amount = Field(
        description="Loss per UTC day, in quote currency, that engages the kill switch."
    )
    price_collar: Annotated[str, Field(pattern=r"^0?\.[0-9]{1,9}$", max_length=16)] = Field(
        description="Largest distance of a limit price from the market, as a share: 0.05 is 5 %."
    )


class KillSwitch(Model):
    """The kill switch: engaged here, it is latched in the runner until a person resets it there."""

    cel = (
        rule(
            "!self.engaged || (has(self.reason) && self.reason.size() > 0)",
            "killSwitch.reason is required when it is engaged: say who stops trading and why",
            ".reason",
        ),
    )

    engaged: bool = Field(default=False, description="Stop trading and cancel every order.")
    reason: Annotated[str, Field(max_length=256, pattern=r"^[^\n]*$")] = Field(
        default="", description="Who stops trading, and why."
    )


class Monitoring(Model):
    """How Prometheus finds the runner."""

    scrape_interval: Duration = Field(default="15s", description="Interval of the ServiceMonitor.")
    labels: Annotated[dict[str, str], Field(max_length=32)] = Field(
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

    cpu: Annotated[str, Field(pattern=r"^([0-9]+m|[0-9]+(\.[0-9]+)?)$", max_length=16)] = Field(
        default="100m", description="CPU request; there is no CPU limit, which would add latency."
    )
    memory: Quantity = Field(default="256Mi", description="Memory request and limit.")


class Toleration(Model):
    """Taint that the pod tolerates."""

    key: str | None = Field(default=None, max_length=316, description="Key of the taint.")
    operator: Annotated[str, Field(pattern="^(Exists|Equal)$")] = Field(
        default="Equal", description="Exists or Equal."
    )
    value: str | None = Field(default=None, max_length=63, description="Value of the taint.")
    effect: str | None = Field(default=None, max_length=32, description="Effect of the taint.")


class Pod(Model):
    """Where and how the runner's pod runs; a change takes effect with the next restart."""

    resources: Resources = Field(default=Resources(), description="Compute resources.")
    node_selector: Annotated[dict[str, str], Field(max_length=32)] = Field(
        default={}, description="Labels that the node must have."
    )
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = Field(
        default=(), description="Taints that the pod tolerates."
    )
    image_pull_secrets: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=253)], ...], Field(max_length=8)
    ] = Field(default=(), description="Secrets for pulling the image.")
    termination_grace_period_seconds: Annotated[int, Field(ge=10, le=3600)] = Field(
        default=60, description="Time to cancel orders and flush the state before SIGKILL."
    )


class TradingRunnerSpec(Model):
    """What should run. Belongs to Git: the operator never writes it."""

    release: ReleaseSpec = Field(description="The release that is wanted.")
    strategy: Strategy = Field(description="The strategy that trades.")
    venues: Annotated[tuple[Venue, ...], Field(min_length=1, max_length=8)] = Field(
        description="Venues that the runner trades at.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
    )
    risk: Risk = Field(description="Limits that no order may pass; required.")
    state: State = Field(default=State(), description="The volume of the order state.")
    kill_switch: KillSwitch = Field(default=KillSwitch(), description="The kill switch.")
    monitoring: Monitoring = Field(default=Monitoring(), description="Monitoring.")
    cutover: CutoverSettings = Field(
        default=CutoverSettings(), description="What happens when the release changes."
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
    since: str = Field(description="When it became active, RFC 3339.")
    cutover: str | None = Field(default=None, description="The cutover that brought it.")


class RejectedRelease(Model):
    """A release that was rolled back; not tried again by itself."""

    release: Release = Field(description="The release.")
    cutover: str = Field(description="The cutover that rejected it.")
    reason: str = Field(description="Why it was rolled back.")
    at: str = Field(description="When, RFC 3339.")


class TradingRunnerStatus(Model):
    """What runs."""

    observed_generation: int = Field(default=0, description="Generation this status speaks of.")
    phase: RunnerPhase | None = Field(default=None, description="Summary for people.")
    conditions: tuple[Condition, ...] = Field(
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
    cutover: str | None = Field(default=None, description="The cutover in progress.")
    history: tuple[HistoryEntry, ...] = Field(
        default=(), description="Releases that ran, newest first; ten at most."
    )
    rejected_releases: tuple[RejectedRelease, ...] = Field(
        default=(), description="Releases rolled back, newest first; ten at most."
    )
    writer_epoch: int | None = Field(
        default=None, description="Fencing epoch of the running process, rises with every start."
    )


class TradingRunner(Model):
    """A trading runner."""

    KIND: ClassVar[str] = "TradingRunner"
    PLURAL: ClassVar[str] = "tradingrunners"

    cel = (
        # The StatefulSet's revision label adds 11 characters to the name; a label holds 63.
        rule(
            "self.metadata.name.size() <= 52",
            "metadata.name must not be longer than 52 characters: shorten it",
        ),
    )

    metadata: Meta
    spec: TradingRunnerSpec
    status: TradingRunnerStatus = TradingRunnerStatus()
