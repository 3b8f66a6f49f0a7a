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

from tradepulse_runner.errors import ConfigError

M = TypeVar("M", bound=BaseModel)
Connector = Literal["paper", "binance", "coinbase"]


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
    """Who this runner is: the custom resource's name and namespace."""

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
    """Pre-trade limits. All are required: a runner without limits is refused (RTS 6 art. 8).

    ``max_position`` base units per symbol; ``max_notional`` and ``max_order_notional`` quote
    currency; ``price_collar`` fraction of the reference price; ``max_daily_loss`` quote
    currency per UTC day.
    """

    max_position: Positive
    max_notional: Positive
    max_order_notional: Positive
    max_orders_per_interval: Annotated[int, Field(gt=0, le=100_000)]
    interval_seconds: Seconds
    max_daily_loss: Positive
    price_collar: Annotated[Positive, Field(le=1)]


class LoopConfig(Model):
    """Cadence of the loop's workers."""

    submission_interval: Annotated[float, Field(ge=0.01, le=60)] = 0.25
    fill_poll_interval: Annotated[float, Field(ge=0.05, le=60)] = 1.0
    heartbeat_interval: Annotated[float, Field(ge=0.1, le=60)] = 1.0
    max_backoff: Seconds = 60.0


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
            raise ValueError(
                "retry must be below renew_deadline, and that below duration: a holder has to stop"
                " before another one may start"
            )
        return self


class KillSwitchConfig(Model):
    """``engaged: true`` latches the kill switch at start; ``false`` never resets the latch."""

    engaged: bool = False
    reason: Annotated[str, StringConstraints(max_length=1024)] = ""


class RunnerConfig(Model):
    """The whole file."""

    runner: RunnerIdentity
    config_hash: str = ""
    state_dir: Path = Path("/var/lib/tradepulse")
    strategy: StrategyConfig
    venues: Annotated[list[VenueConfig], Field(min_length=1, max_length=16)]
    risk: RiskConfig
    loop: LoopConfig = LoopConfig()
    http: HttpConfig = HttpConfig()
    metrics: MetricsConfig = MetricsConfig()
    control_dir: Path | None = None
    cold_start: bool = False
    kill_switch: KillSwitchConfig = KillSwitchConfig()
    lease: LeaseConfig | None = None

    @model_validator(mode="after")
    def _cross_field(self) -> RunnerConfig:
        names = [venue.name for venue in self.venues]
        if len(set(names)) != len(names):
            raise ValueError(f"venue names must be unique, got {names}")
        if self.risk.max_order_notional > self.risk.max_notional:
            raise ValueError("risk.max_order_notional must not exceed risk.max_notional")
        return self


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
    """Nearest known key beside the unknown one, walking the models along ``loc``."""
    current: Any = model
    for part in loc[:-1]:
        if isinstance(part, int):
            continue
        found = current.model_fields.get(part) if hasattr(current, "model_fields") else None
        if found is None:
            return None
        current = _inner_model(found.annotation)
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
