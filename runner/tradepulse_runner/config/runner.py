"""The runner's configuration file: shape, limits, and errors a person can act on.

Shape (YAML, snake_case, unknown keys refused); see ``configs/README.md`` for every field.
Times are seconds, money and quantities are decimal strings.
"""

from __future__ import annotations

import difflib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from tradepulse_runner.config.admin import AdminConfig
from tradepulse_runner.config.bus import EventBusConfig
from tradepulse_runner.config.database import DatabaseConfig
from tradepulse_runner.currency import quote_currency
from tradepulse_runner.errors import ConfigError

M = TypeVar("M", bound=BaseModel)
Connector = Literal["paper", "binance", "coinbase"]


class FieldConflict(ValueError):
    """A value that conflicts with another one. ``field``: its path within the model."""

    def __init__(self, field: str, value: object, remedy: str) -> None:
        super().__init__(f"{field}: value {value} is not valid; remedy: {remedy}")
        self.field, self.value, self.remedy = field, value, remedy


def _finite_positive(value: Decimal) -> Decimal:
    if not value.is_finite() or value <= 0:
        raise ValueError("must be a finite number greater than 0")
    return value


Positive = Annotated[Decimal, AfterValidator(_finite_positive)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=0, le=65_535)]
# A venue's name becomes part of file names (``{venue}_oms.json``) and of metric labels.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Symbol = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,31}$")]


class Model(BaseModel):
    """Base of all configuration models: unknown keys refused, values frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RunnerIdentity(Model):
    """Identity of the runner: the custom resource's name and namespace."""

    name: Name
    namespace: Name = "default"


class StrategyConfig(Model):
    """Which strategy trades; ``parameters`` are checked by the strategy itself."""

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class VenueConfig(Model):
    """One venue. ``credentials_dir`` is a directory of secret files, never the secrets."""

    name: Name
    connector: Connector
    sandbox: bool = True
    symbols: Annotated[list[Symbol], Field(min_length=1, max_length=64)]
    credentials_dir: Path | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class RiskConfig(Model):
    """Pre-trade limits. Those without a default are required: a runner without limits is refused
    (RTS 6 art. 8).

    ``max_position`` base units per symbol; ``max_notional`` and ``max_order_notional`` quote
    currency; ``price_collar`` fraction of the reference price; ``max_daily_loss`` quote
    currency per UTC day, over the venues that share it, and ``soft_daily_loss`` the part of it
    from which on only orders leave that reduce a position. ``max_order_quantity`` base units.

    ``max_duplicates`` identical orders may be sent in ``duplicate_window`` s. The kill switch
    is engaged by ``kill_switch_violation_threshold`` orders in a row of at least
    ``kill_switch_limit_multiplier`` times a limit of one order, and by as many intervals in a row
    as ``kill_switch_rate_limit_threshold`` in which the throttle held orders back; 0: never.
    """

    max_position: Positive
    max_notional: Positive
    max_order_notional: Positive
    max_orders_per_interval: Annotated[int, Field(gt=0, le=100_000)]
    interval_seconds: Seconds
    max_daily_loss: Positive
    price_collar: Annotated[Positive, Field(le=1)]
    max_order_quantity: Positive | None = None
    soft_daily_loss: Positive | None = None
    duplicate_window: Seconds | None = None
    max_duplicates: Annotated[int, Field(gt=0, le=100_000)] | None = None
    kill_switch_limit_multiplier: Annotated[Positive, Field(ge=1)] = Decimal("1.5")
    kill_switch_violation_threshold: Annotated[int, Field(ge=0, le=100_000)] = 3
    kill_switch_rate_limit_threshold: Annotated[int, Field(ge=0, le=100_000)] = 10

    @model_validator(mode="after")
    def _fit_together(self) -> RiskConfig:
        if self.max_order_notional > self.max_notional:
            raise FieldConflict(
                "max_order_notional",
                self.max_order_notional,
                f"lower it to risk.max_notional, {self.max_notional}, or below",
            )
        if self.soft_daily_loss is not None and self.soft_daily_loss >= self.max_daily_loss:
            raise FieldConflict(
                "soft_daily_loss",
                self.soft_daily_loss,
                f"set it below risk.max_daily_loss, {self.max_daily_loss}",
            )
        if (self.duplicate_window is None) != (self.max_duplicates is None):
            alone = "max_duplicates" if self.duplicate_window is None else "duplicate_window"
            raise FieldConflict(
                alone,
                getattr(self, alone),
                "risk.duplicate_window and risk.max_duplicates belong together: set both or none",
            )
        return self


class LoopConfig(Model):
    """Cadence of the loop's workers, seconds.

    A venue is polled every ``fill_poll_interval``, or, when its streams bring fills as they
    happen, every ``reconcile_interval`` to prove that the streams dropped nothing.
    ``while_reconciling``: what may be sent to the other venues when one of several is reconciled
    anew; to that one, nothing.
    """

    submission_interval: Annotated[float, Field(ge=0.01, le=60)] = 0.25
    fill_poll_interval: Annotated[float, Field(ge=0.05, le=60)] = 1.0
    reconcile_interval: Annotated[float, Field(ge=0.05, le=300)] = 5.0
    heartbeat_interval: Annotated[float, Field(ge=0.1, le=60)] = 1.0
    credential_interval: Annotated[float, Field(ge=0.1, le=3600)] = 5.0
    max_backoff: Seconds = 60.0
    while_reconciling: Literal["halt", "reduce"] = "halt"


class GuardConfig(Model):
    """The runner's own guardrails, and the action when one is breached.

    ``error_rate_threshold`` share of order requests, ``latency_threshold_ms`` their p95, both in
    the last ``evaluation_period`` seconds with at least ``min_requests``; ``gap`` seconds without a
    heartbeat, market data or a poll of a venue; ``cooldown`` seconds between two triggers.
    """

    action: Literal["alert", "reduce", "halt", "kill"] = "alert"
    error_rate_threshold: Annotated[float, Field(gt=0, le=1)] = 0.02
    # Above the histogram's largest bound nothing can be told apart.
    latency_threshold_ms: Annotated[float, Field(gt=0, le=10_000)] = 500.0
    evaluation_period: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    min_requests: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    cooldown: Seconds = 300.0
    gap: Annotated[float, Field(ge=1, le=86_400)] = 30.0


class HttpConfig(Model):
    """Probe and status server. Port 0 picks a free one (tests)."""

    host: str = "0.0.0.0"
    port: Port = 8080


class MetricsConfig(Model):
    """Prometheus endpoint, on ``http.host``."""

    port: Port = 9000


class LeaseConfig(Model):
    """The writer lease in the Kubernetes API; absent: only the state directory is locked.

    ``duration``: another process waits that long for a sign of life. ``renew_deadline``: without a
    renewal for so long, this one stops. ``retry``: between two renewals. ``credentials_dir`` holds
    ``token`` and ``ca.crt``. ``api_server``: its https address, when not that of the pod's cluster.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
    namespace: Name = "default"
    duration: Annotated[float, Field(ge=1, le=300, allow_inf_nan=False)] = 15.0
    renew_deadline: Seconds = 10.0
    retry: Seconds = 2.0
    api_server: Annotated[str, StringConstraints(pattern=r"^(https://.+)?$")] = ""
    credentials_dir: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount")

    @model_validator(mode="after")
    def _spans(self) -> LeaseConfig:
        if not self.retry < self.renew_deadline < self.duration:
            raise FieldConflict(
                "renew_deadline",
                self.renew_deadline,
                f"set it above lease.retry, {self.retry:g}, and below lease.duration,"
                f" {self.duration:g}: a holder has to stop before another one may start",
            )
        return self


class ObjectStoreConfig(Model):
    """An S3 bucket that backups and incident reports are copied to; absent: they stay on disk.

    ``endpoint``: the server's https address, without a path. ``prefix``: a folder of the bucket.
    ``credentials_dir`` holds ``S3_API_KEY`` and ``S3_API_SECRET``, ``ca_file`` the authorities to
    trust besides the system's.
    """

    endpoint: Annotated[str, StringConstraints(pattern=r"^https://[^/?#@\s]+$")]
    bucket: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    region: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,63}$")] = "us-east-1"
    prefix: Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9._/-]{1,256})?$")] = ""
    credentials_dir: Path
    ca_file: Path | None = None


class KillSwitchConfig(Model):
    """``engaged: true`` latches the kill switch at start; ``false`` never resets the latch."""

    engaged: bool = False
    reason: Annotated[str, StringConstraints(max_length=1024)] = ""


class RunnerConfig(Model):
    """The whole file."""

    runner: RunnerIdentity
    owner: Annotated[str, StringConstraints(strip_whitespace=True, max_length=253)] = ""
    config_hash: str = ""
    state_dir: Path = Path("/var/lib/tradepulse")
    strategy: StrategyConfig
    venues: Annotated[list[VenueConfig], Field(min_length=1, max_length=16)]
    risk: RiskConfig
    loop: LoopConfig = LoopConfig()
    guard: GuardConfig = GuardConfig()
    http: HttpConfig = HttpConfig()
    metrics: MetricsConfig = MetricsConfig()
    control_dir: Path | None = None
    cold_start: bool = False
    kill_switch: KillSwitchConfig = KillSwitchConfig()
    lease: LeaseConfig | None = None
    object_store: ObjectStoreConfig | None = None
    admin: AdminConfig | None = None
    event_bus: EventBusConfig | None = None
    database: DatabaseConfig | None = None

    @model_validator(mode="after")
    def _cross_field(self) -> RunnerConfig:
        names = [venue.name for venue in self.venues]
        if len(set(names)) != len(names):
            raise FieldConflict("venues", names, "venue names must be unique: rename one")
        for name in ("heartbeat_interval", "fill_poll_interval", "reconcile_interval"):
            every: float = getattr(self.loop, name)
            if self.guard.gap <= every:
                raise FieldConflict(
                    f"loop.{name}",
                    every,
                    f"guard.gap, {self.guard.gap:g} s, would call each pause a gap: lower this, or"
                    " raise guard.gap above it",
                )
        for venue in self.venues:
            currencies = {currency for s in venue.symbols if (currency := quote_currency(s))}
            if len(currencies) > 1:
                raise FieldConflict(
                    f"venues.{venue.name}.symbols",
                    venue.symbols,
                    f"they are paid in {sorted(currencies)}, but cash, limits and loss of a venue"
                    " are counted in one currency: make a runner for each",
                )
        return self

    @property
    def responsible(self) -> str:
        """Who answers for this runner's orders (RTS 6 art. 12(3))."""
        return self.owner or f"{self.runner.namespace}/{self.runner.name}"


def load_config(path: Path) -> RunnerConfig:
    """Read and check ``path``. Raises :class:`ConfigError` naming file, field, value, remedy."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: cannot be read: {exc}; give --config a YAML file") from exc
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ConfigError(f"{path}: not valid YAML: {exc}") from exc
    if not isinstance(raw, dict):
        raise ConfigError(
            f"{path}: expected a mapping, got {type(raw).__name__}; start from configs/paper.yaml"
        )
    return parse_model(RunnerConfig, raw, source=str(path))


def parse_model(model: type[M], raw: dict[str, Any], *, source: str, prefix: str = "") -> M:
    """Validate ``raw`` as ``model``; errors become one :class:`ConfigError`, a line per field."""
    try:
        return model.model_validate(raw)
    except ValidationError as exc:
        lines = [_explain(model, source, prefix, error) for error in exc.errors()]
        raise ConfigError("\n".join(lines)) from None


def _explain(model: type[BaseModel], source: str, prefix: str, error: ErrorDetails) -> str:
    field = ".".join([*([prefix] if prefix else []), *(str(part) for part in error["loc"])])
    conflict = error.get("ctx", {}).get("error")
    if isinstance(conflict, FieldConflict):
        field = f"{field}.{conflict.field}" if field else conflict.field
        return f"{source}: {field}: value {conflict.value} is not valid; remedy: {conflict.remedy}"
    field = field or "(whole file)"
    kind = error["type"]
    if kind == "missing":
        return f"{source}: {field}: missing; remedy: add it, it has no default"
    if kind == "extra_forbidden":
        hint = _closest(model, error["loc"])
        also = f"did you mean {hint!r}? otherwise " if hint else ""
        return f"{source}: {field}: unknown key (value {error['input']!r}); remedy: {also}remove it"
    shown = "" if isinstance(error["input"], dict) else f" value {error['input']!r}"
    return f"{source}: {field}:{shown} is not valid; remedy: {error['msg']}"


def _closest(model: type[BaseModel], loc: tuple[int | str, ...]) -> str | None:
    """The known key most similar to the unknown one at ``loc``."""
    current: Any = model
    for part in loc[:-1]:
        if isinstance(part, int):
            continue
        field = current.model_fields.get(part) if hasattr(current, "model_fields") else None
        if field is None:
            return None
        current = _inner_model(field.annotation)
    if not hasattr(current, "model_fields"):
        return None
    matches = difflib.get_close_matches(str(loc[-1]), list(current.model_fields), n=1)
    return matches[0] if matches else None


def _inner_model(annotation: Any) -> Any:
    """``VenueConfig`` out of ``VenueConfig`` or ``list[VenueConfig]``."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
