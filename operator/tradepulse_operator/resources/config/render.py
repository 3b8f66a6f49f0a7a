"""The runner's configuration file, rendered from the custom resource and the user's own settings.

Shape: `runner/tradepulse_runner/config/runner.py`, YAML in snake_case. What belongs to one run of a
release and not to the release itself (kill switch, halt) isn't in it: that would make every drill
a new release.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import yaml

from tradepulse_operator.api.reasons import ConfigReason
from tradepulse_operator.api.release import ReleaseSpec
from tradepulse_operator.api.runner import TradingRunnerSpec
from tradepulse_operator.api.spec.risk import Risk
from tradepulse_operator.api.spec.venue import Venue
from tradepulse_operator.api.units import NAME_PATTERN
from tradepulse_operator.common.names import (
    CONFIG_FILE,
    CONTROL_DIR,
    CREDENTIALS_DIR,
    HTTP_PORT,
    METRICS_PORT,
    STATE_DIR,
)

from . import admin, database, yaml_text
from . import event_bus as eventbus
from . import object_store as objectstore

#: Keys that the resource sets in another way than by a value of the file.
_RESERVED = {
    "config_hash": "the operator sets it",
    "kill_switch": "use spec.killSwitch of the TradingRunner",
}
#: Thresholds of the kill switch: 0 is never.
_MAY_BE_ZERO = {"kill_switch_violation_threshold", "kill_switch_rate_limit_threshold"}


class ConfigError(ValueError):
    """A configuration that can't be rendered; the message says what to do."""

    def __init__(self, reason: ConfigReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def render(
    runner_name: str,
    namespace: str,
    spec: TradingRunnerSpec,
    release: ReleaseSpec,
    user_config: str | None,
) -> str:
    """`runner.yaml` for `release`: the same text for the same input.

    `user_config`: the user's `runner.yaml`; None when there is none. Raises ConfigError for a
    ConfigMap that is missing, for YAML that isn't valid, and for a key that the resource sets.
    """
    own = _own(runner_name, namespace, spec, release)
    return yaml_text.write(_merge(own, _user(release, user_config), f"{release.config}", ""))


def _own(
    runner_name: str, namespace: str, spec: TradingRunnerSpec, release: ReleaseSpec
) -> dict[str, Any]:
    if not re.match(NAME_PATTERN, runner_name):
        raise ConfigError(
            ConfigReason.INVALID_NAME,
            f"metadata.name {runner_name!r} can't name a Service: use lower-case letters, digits"
            " and dashes only",
        )
    strategy = {"name": spec.strategy.name, "parameters": dict(spec.strategy.parameters)}
    return {
        "runner": {"name": runner_name, "namespace": namespace},
        "state_dir": STATE_DIR,
        "strategy": strategy,
        "venues": [_venue(venue) for venue in spec.venues],
        "risk": _risk(spec.risk),
        "http": {"host": "0.0.0.0", "port": HTTP_PORT},
        "metrics": {"port": METRICS_PORT},
        "control_dir": CONTROL_DIR,
        "lease": {"name": runner_name, "namespace": namespace},
        "cold_start": release.cold_start,
        **objectstore.config(spec),
        **admin.config(spec),
        **eventbus.config(spec),
        **database.config(spec),
    }


def _venue(venue: Venue) -> dict[str, Any]:
    credentials = f"{CREDENTIALS_DIR}/{venue.name}" if venue.credentials_secret else None
    return {
        "name": venue.name,
        "connector": venue.connector.value,
        "sandbox": venue.sandbox,
        "symbols": list(venue.symbols),
        "credentials_dir": credentials,
        "options": dict(venue.options),
    }


def _risk(risk: Risk) -> dict[str, Any]:
    """Limits of the file; refused here when the process would refuse them at its start.

    What isn't set is left out: a release that doesn't know a newer limit goes on, and a newer
    operator doesn't make a new release of an old resource.
    """
    limits = risk.model_dump(mode="json", by_alias=False, exclude_none=True)
    for field, value in limits.items():
        if field not in _MAY_BE_ZERO and Decimal(value) <= 0:
            shown = Risk.model_fields[field].alias or field
            raise ConfigError(
                ConfigReason.INVALID_CONFIG,
                f"spec.risk.{shown} is {value}: give a limit greater than 0",
            )
    if Decimal(risk.max_order_notional) > Decimal(risk.max_notional):
        raise ConfigError(
            ConfigReason.INVALID_CONFIG,
            f"spec.risk.maxOrderNotional {risk.max_order_notional} is above maxNotional"
            f" {risk.max_notional}: lower it",
        )
    if "duplicate_window_seconds" in limits:
        limits["duplicate_window"] = limits.pop("duplicate_window_seconds")
    return limits


def _user(release: ReleaseSpec, text: str | None) -> Mapping[str, Any]:
    where = f"ConfigMap {release.config}, key {CONFIG_FILE}"
    if release.config is None:
        return {}
    if text is None:
        raise ConfigError(
            ConfigReason.CONFIG_MAP_MISSING,
            f"{where} doesn't exist: create it or unset spec.release.config",
        )
    try:
        settings = yaml_text.read(text)
    except yaml.YAMLError as error:
        raise ConfigError(
            ConfigReason.INVALID_CONFIG, f"{where} isn't valid YAML: {error}"
        ) from error
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise ConfigError(
            ConfigReason.INVALID_CONFIG,
            f"{where} is a {type(settings).__name__}: write a mapping of settings",
        )
    for key, remedy in _RESERVED.items():
        if key in settings:
            raise ConfigError(
                ConfigReason.CONFIG_CLASH, f"{where}: {key} must not be set: {remedy}"
            )
    return settings


def _merge(
    own: Mapping[str, Any], user: Mapping[str, Any], config_map: str, path: str
) -> dict[str, Any]:
    """`own` with what only `user` has; a value that both have is a clash, never a silent winner."""
    merged = dict(own)
    for key, value in user.items():
        below, mine = f"{path}{key}", own.get(key)
        if key not in own:
            merged[key] = value
        elif isinstance(mine, dict) and isinstance(value, dict):
            merged[key] = _merge(mine, value, config_map, f"{below}.")
        else:
            raise ConfigError(
                ConfigReason.CONFIG_CLASH,
                f"ConfigMap {config_map}, key {CONFIG_FILE}: {below} is set by the TradingRunner"
                " itself: remove it here and set it there",
            )
    return merged
