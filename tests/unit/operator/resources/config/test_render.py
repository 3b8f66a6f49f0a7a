"""The rendered configuration: valid for the runner, deterministic, and without a silent winner."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.support.operator.runners import BINANCE, PAPER, runner
from tradepulse_operator.api.release import ReleaseSpec
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.api.spec.risk import Risk
from tradepulse_operator.resources.config.release import render_release, resolve
from tradepulse_operator.resources.config.render import ConfigError, render
from tradepulse_runner.config.runner import RunnerConfig

CONFIGURED = ReleaseSpec(image="registry.test/runner:1.0.0", config="mine")


def rendered(owner: TradingRunner, user: str | None = None) -> str:
    release = owner.spec.release if user is None else CONFIGURED
    return render(owner.metadata.name, owner.metadata.namespace, owner.spec, release, user)


def test_the_runner_accepts_it() -> None:
    owner = runner(venues=[PAPER, BINANCE])
    found = RunnerConfig.model_validate(yaml.safe_load(rendered(owner)))
    assert found.runner.name == "demo"
    assert found.runner.namespace == "trading"
    assert [venue.name for venue in found.venues] == ["paper", "binance"]
    assert found.venues[0].credentials_dir is None
    assert str(found.venues[1].credentials_dir) == "/etc/tradepulse/credentials/binance"
    assert str(found.risk.max_notional) == "500000"
    assert found.http.port == 8080
    assert found.metrics.port == 9000
    assert str(found.control_dir) == "/etc/tradepulse/control"
    assert found.cold_start is False
    assert found.lease is not None
    assert (found.lease.namespace, found.lease.name) == ("trading", "demo")


def test_what_belongs_to_a_run_is_not_part_of_the_release() -> None:
    plain = runner()
    for changes in (
        {"killSwitch": {"engaged": True, "reason": "drill"}},
        {"suspend": True},
        {"pod": {"resources": {"memory": "1Gi"}}},
        {"monitoring": {"scrapeInterval": "5s"}},
    ):
        assert rendered(runner(**changes)) == rendered(plain), changes


def test_what_the_user_adds_is_merged_deeply() -> None:
    user = "loop: {submission_interval: 0.5}\nstrategy: {parameters: {depth: 9}}\n"
    user += "lease: {duration: 30, renew_deadline: 20}\n"
    found = yaml.safe_load(rendered(runner(), user))
    assert found["loop"] == {"submission_interval": 0.5}
    assert found["strategy"]["parameters"] == {"window": 3, "depth": 9}
    assert found["lease"]["duration"] == 30
    RunnerConfig.model_validate(found)


@pytest.mark.parametrize("user", ["", "{}", "# nothing\n"])
def test_an_empty_file_adds_nothing(user: str) -> None:
    assert rendered(runner(), user) == rendered(runner())


REFUSED = {
    "risk: {max_position: '9'}": ("ConfigClash", "risk.max_position"),
    "strategy: {parameters: {window: 4}}": ("ConfigClash", "strategy.parameters.window"),
    "strategy: null": ("ConfigClash", "strategy"),
    "venues: []": ("ConfigClash", "venues"),
    "lease: {name: another}": ("ConfigClash", "lease.name"),
    "cold_start: true": ("ConfigClash", "cold_start"),
    "kill_switch: {engaged: true}": ("ConfigClash", "spec.killSwitch"),
    "config_hash: x": ("ConfigClash", "config_hash"),
    "loop: [": ("InvalidConfig", "isn't valid YAML"),
    "- a list": ("InvalidConfig", "write a mapping"),
    "loop: {a: 1}\nloop: {b: 2}": ("InvalidConfig", "twice"),
    "a: &x 1\nb: *x": ("InvalidConfig", "aliases"),
    "1: one": ("InvalidConfig", "quote it"),
    "[" * 20_000: ("InvalidConfig", "nested too deeply"),
    "a: " + "x" * 200_000: ("InvalidConfig", "too many"),
    "when: !!python/object:os.system {}": ("InvalidConfig", "isn't valid YAML"),
}


@pytest.mark.parametrize("user", REFUSED, ids=lambda text: text[:24])
def test_a_refusal_names_file_key_and_remedy(user: str) -> None:
    reason, told = REFUSED[user]
    with pytest.raises(ConfigError) as error:
        rendered(runner(), user)
    assert error.value.reason == reason
    assert told in str(error.value)
    assert "ConfigMap mine, key runner.yaml" in str(error.value)


def test_a_missing_config_map_is_reported() -> None:
    owner = runner()
    with pytest.raises(ConfigError, match=r"ConfigMap mine, .* create it or unset"):
        render("demo", "trading", owner.spec, CONFIGURED, None)


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"max_order_notional": "600000"}, "maxOrderNotional"),
        ({"max_position": "0"}, "spec.risk.maxPosition"),
        ({"price_collar": "0.0"}, "spec.risk.priceCollar"),
    ],
)
def test_limits_that_the_process_would_refuse_are_refused_here(
    limits: dict[str, str], told: str
) -> None:
    """Past the schema, which refuses some of them: an older CRD may have let them in."""
    spec = runner().spec
    risk = spec.risk.model_copy(update=limits)
    with pytest.raises(ConfigError, match=told):
        render("demo", "trading", spec.model_copy(update={"risk": risk}), spec.release, None)


def risk(**changes: object) -> dict[str, object]:
    given = runner().spec.risk.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {**given, **changes}


def test_a_limit_that_is_not_set_is_not_in_the_file() -> None:
    """Else a newer operator would make a new release of all, and older releases refuse it."""
    found = yaml.safe_load(rendered(runner()))["risk"]
    assert set(found) == {
        "max_position", "max_notional", "max_order_notional", "max_orders_per_interval",
        "interval_seconds", "max_daily_loss", "price_collar",
    }  # fmt: skip


def test_the_optional_limits_reach_the_process() -> None:
    limits = risk(
        maxOrderQuantity="0.5",
        softDailyLoss="1",
        maxDuplicates=2,
        duplicateWindowSeconds=3,
        killSwitchLimitMultiplier="2",
        killSwitchViolationThreshold=0,
        killSwitchRateLimitThreshold=7,
    )
    found = RunnerConfig.model_validate(yaml.safe_load(rendered(runner(risk=limits)))).risk
    assert str(found.max_order_quantity) == "0.5"
    assert str(found.soft_daily_loss) == "1"
    assert (found.max_duplicates, found.duplicate_window) == (2, 3.0)
    assert str(found.kill_switch_limit_multiplier) == "2"
    assert found.kill_switch_violation_threshold == 0
    assert found.kill_switch_rate_limit_threshold == 7


def test_the_defaults_that_the_reference_tells_are_the_processs_own() -> None:
    found = RunnerConfig.model_validate(yaml.safe_load(rendered(runner()))).risk
    told = {
        name: Risk.model_fields[name].description or ""
        for name in Risk.model_fields
        if name.startswith("kill_switch_")
    }
    assert len(told) == 3
    for name, text in told.items():
        assert f"{getattr(found, name)} when left out" in text


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers() | st.text("xyz"), max_size=8))
def test_the_order_of_keys_does_not_matter(parameters: dict[str, object]) -> None:
    one = runner(strategy={"name": "s", "parameters": parameters})
    other = runner(strategy={"name": "s", "parameters": dict(reversed(parameters.items()))})
    assert rendered(one) == rendered(other)


def test_identity_is_image_and_configuration() -> None:
    owner = runner()
    base = resolve(owner, owner.spec.release, None)
    assert base == resolve(owner, owner.spec.release, None)
    assert base.config_map == f"demo-{base.config_hash}"
    image = resolve(owner, ReleaseSpec(image="registry.test/runner:1.0.1"), None)
    assert image.id != base.id
    assert image.config_hash == base.config_hash
    text = resolve(owner, CONFIGURED, "loop: {max_backoff: 9}")
    assert text.id != base.id
    assert text.config_hash != base.config_hash


def test_a_release_knows_its_secrets() -> None:
    owner = runner(venues=[PAPER, BINANCE])
    found = render_release(owner, owner.spec.release, None).release
    assert found.credentials == {"binance": "binance-key"}
