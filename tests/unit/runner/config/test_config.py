"""Every refusal names file, field, value and remedy."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.runner.runner_fixtures import LIMITS, config
from tradepulse_runner.app import build
from tradepulse_runner.config.runner import (
    RunnerConfig,
    StrategyConfig,
    load_config,
)
from tradepulse_runner.errors import ConfigError
from tradepulse_runner.release import Release, load_release
from tradepulse_runner.strategy.catalog import build_strategy

SECRETS = {"coinbase": base64.b64encode(bytes(range(64))).decode()}
SAMPLES = sorted((Path(__file__).parents[4] / "configs").glob("*.yaml"))


def write(path: Path, **changes: Any) -> Path:
    file = path / "runner.yaml"
    file.write_text(yaml.safe_dump(config(path / "state", **changes)))
    return file


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.name)
def test_sample_is_valid_and_can_be_built(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_config(path)
    for venue in loaded.venues:
        monkeypatch.setenv(f"{venue.connector.upper()}_API_KEY", "k" * 64)
        monkeypatch.setenv(
            f"{venue.connector.upper()}_API_SECRET", SECRETS.get(venue.connector, "s" * 64)
        )
    build(loaded, Release(version="1"), source=str(path))


BROKEN: list[tuple[dict[str, Any], str, str]] = [
    ({"surprise": 1}, "surprise", "remove it"),
    ({"runner": {"nmae": "x"}}, "runner.nmae", "did you mean 'name'"),
    ({"runner": {"name": "No Good"}}, "runner.name", "'No Good'"),
    ({"venues": []}, "venues", "at least 1"),
    ({"http": {"port": 70_000}}, "http.port", "70000"),
    ({"loop": {"heartbeat_interval": 0}}, "loop.heartbeat_interval", "0"),
    *[
        ({"risk": {k: v for k, v in LIMITS.items() if k != name}}, f"risk.{name}", "missing")
        for name in LIMITS
    ],
    *[
        ({"risk": {**LIMITS, name: bad}}, f"risk.{name}", str(bad))
        for name in ("max_position", "max_notional", "max_daily_loss", "price_collar")
        for bad in ("-1", "0", "NaN", "Infinity")
    ],
    ({"risk": {**LIMITS, "max_order_notional": "600000"}}, "max_order_notional", "max_notional"),
    ({"risk": {**LIMITS, "max_order_quantity": "0"}}, "risk.max_order_quantity", "greater than 0"),
    ({"risk": {**LIMITS, "soft_daily_loss": "10000"}}, "soft_daily_loss", "below"),
    ({"risk": {**LIMITS, "max_duplicates": 2}}, "duplicate_window", "belong together"),
    ({"risk": {**LIMITS, "duplicate_window": 2}}, "max_duplicates", "belong together"),
    ({"guard": {"gap": 9}, "loop": {"heartbeat_interval": 9}}, "loop.heartbeat_interval", "gap, 9"),
    ({"guard": {"gap": 9}, "loop": {"reconcile_interval": 60}}, "loop.reconcile_interval", "60"),
    ({"lease": {"name": "x", "duration": 9}}, "lease.renew_deadline", "value 10.0"),
    (
        {"risk": {**LIMITS, "kill_switch_limit_multiplier": "0.9"}},
        "risk.kill_switch_limit_multiplier",
        "0.9",
    ),
    ({"loop": {"while_reconciling": "trade"}}, "loop.while_reconciling", "'halt' or 'reduce'"),
]


@pytest.mark.parametrize(("changes", "field", "hint"), BROKEN)
def test_refusal_names_file_field_and_remedy(
    tmp_path: Path, changes: dict[str, Any], field: str, hint: str
) -> None:
    path = write(tmp_path, **changes)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    text = str(caught.value)
    assert str(path) in text
    assert field in text
    assert hint in text
    assert "remedy: " in text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"risk": {**LIMITS, "max_order_notional": "600000"}},
            "risk.max_order_notional: value 600000 is not valid; remedy: lower it to"
            " risk.max_notional, 500000, or below",
        ),
        (
            {"risk": {**LIMITS, "max_duplicates": 2}},
            "risk.max_duplicates: value 2 is not valid; remedy: risk.duplicate_window and"
            " risk.max_duplicates belong together: set both or none",
        ),
        (
            {"loop": {"heartbeat_interval": 60}},
            "loop.heartbeat_interval: value 60.0 is not valid; remedy: guard.gap, 30 s, would call"
            " each pause a gap: lower this, or raise guard.gap above it",
        ),
    ],
)
def test_values_that_do_not_fit_each_other_are_reported_with_field_value_and_remedy(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    path = write(tmp_path, **changes)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == f"{path}: {told}"


def test_two_venues_of_one_name_are_refused(tmp_path: Path) -> None:
    one = config(tmp_path)["venues"][0]
    with pytest.raises(ConfigError, match="unique"):
        load_config(write(tmp_path, venues=[one, one]))


def test_a_venue_that_counts_in_two_currencies_is_refused(tmp_path: Path) -> None:
    """Its cash, limits and loss would add dollars to euros."""
    one = config(tmp_path)["venues"][0]
    with pytest.raises(ConfigError, match=r"\['EUR', 'USD'\].*a runner for each"):
        load_config(write(tmp_path, venues=[{**one, "symbols": ["BTC-USD", "BTC-EUR"]}]))
    other = {**one, "name": "other", "symbols": ["BTC-EUR", "SOMETHING"]}
    load_config(write(tmp_path, venues=[one, other]))


def test_somebody_answers_for_the_orders(tmp_path: Path) -> None:
    assert load_config(write(tmp_path)).responsible == "default/test"
    assert load_config(write(tmp_path, owner=" desk 7 ")).responsible == "desk 7"


@pytest.mark.parametrize("text", ["", "[1]", "a: [", "\x00"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        load_config(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.yaml")


@pytest.mark.parametrize("connector", ["binance", "coinbase"])
def test_a_missing_credential_names_the_variable_and_the_file(
    tmp_path: Path, connector: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{connector.upper()}_API_KEY"
    monkeypatch.delenv(name, raising=False)
    venue = {"name": "v", "connector": connector, "symbols": ["BTC-USD"]}
    loaded = RunnerConfig.model_validate(config(tmp_path, venues=[venue]))
    with pytest.raises(ConfigError, match=f"{name}: missing; .*environment variable {name}") as no:
        build(loaded, Release(version="1"), source="f.yaml")
    file = tmp_path / "credentials" / "v" / name
    assert f" or the file {file}" in str(no.value)
    file.parent.mkdir(parents=True)
    with pytest.raises(
        ConfigError, match=f"{name}: missing; remedy: provide it as the file {file}"
    ):
        build(loaded, Release(version="1"), source="f.yaml")


def test_unknown_strategy_names_those_that_exist() -> None:
    with pytest.raises(ConfigError, match=r"strategy\.name.*'luck'.*momentum"):
        build_strategy(StrategyConfig(name="luck"), source="f.yaml")


def test_unknown_strategy_parameter_is_refused() -> None:
    wanted = StrategyConfig(name="momentum", parameters={"orders_per_secnd": 1})
    with pytest.raises(ConfigError, match="did you mean 'orders_per_second'"):
        build_strategy(wanted, source="f.yaml")


def test_unknown_venue_option_is_refused(tmp_path: Path) -> None:
    venue = {**config(tmp_path)["venues"][0], "options": {"sede": 1}}
    loaded = RunnerConfig.model_validate(config(tmp_path, venues=[venue]))
    with pytest.raises(ConfigError, match=r"venues\.paper\.options\.sede"):
        build(loaded, Release(version="1"), source="f.yaml")


def test_release_file_wins(tmp_path: Path) -> None:
    path = tmp_path / "release.json"
    path.write_text('{"version": "1.1.0", "revision": "abc"}')
    found = load_release({"TRADEPULSE_RELEASE_FILE": str(path)})
    assert (found.version, found.revision) == ("1.1.0", "abc")


def test_without_a_release_file_the_package_says_its_version() -> None:
    assert load_release({}).version


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1}', '{"version": "1", "surprise": "x"}'])
def test_bad_release_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "release.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"release\.json"):
        load_release({"TRADEPULSE_RELEASE_FILE": str(path)})
