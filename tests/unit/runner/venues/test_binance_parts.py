"""The venue's clock, its weight budget, and the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tradepulse_runner.config.runner import VenueConfig
from tradepulse_runner.credentials.store import CredentialStore
from tradepulse_runner.errors import ConfigError, VenueThrottled
from tradepulse_runner.venues.binance.clock import ServerClock
from tradepulse_runner.venues.binance.limits import BURST, READ_SHARE, Limits
from tradepulse_runner.venues.binance.options import PRODUCTION, TESTNET, parse_options
from tradepulse_runner.venues.catalog import build_connector


class Time:
    """A clock that tests move."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


# -- clock ---------------------------------------------------------------------------------


def test_the_quickest_sample_tells_the_time_within_half_its_round_trip() -> None:
    time = Time(100.0)
    clock = ServerClock(time)
    assert not clock.known
    # Truly 1000 s ahead; the first and last sample were slow on one leg only.
    assert clock.adopt(
        [(100.0, 101.0, 1_100_950), (102.0, 102.1, 1_102_050), (103, 104, 1_103_100)]
    )
    assert clock.now() == pytest.approx(1100.0, abs=clock.uncertainty)
    assert clock.uncertainty == pytest.approx(0.051)
    time.now += 60
    assert clock.milliseconds() == pytest.approx(1_160_000, abs=51)


def test_too_slow_an_answer_is_no_measurement() -> None:
    clock = ServerClock(Time(0.0))
    assert not clock.adopt([(0.0, 5.0, 1_000_000)])
    assert not clock.known


def test_the_worst_uncertainty_is_remembered() -> None:
    """An order signed while it was large may still be under way."""
    clock = ServerClock(Time(0.0))
    clock.adopt([(0.0, 1.0, 1_000_000)])
    clock.adopt([(2.0, 2.01, 1_002_000)])
    assert clock.uncertainty < 0.01
    assert clock.worst == pytest.approx(0.501)


# -- weight --------------------------------------------------------------------------------


def _limits(time: Time) -> Limits:
    return Limits("binance", time, time)


async def test_reads_are_paced_below_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time()

    async def sleep(seconds: float) -> None:
        time.now += seconds

    monkeypatch.setattr("tradepulse_runner.venues.pace.asyncio.sleep", sleep)
    limits, began, weight = _limits(time), time.now, 0
    while time.now - began < 60:
        await limits.admit(20)
        weight += 20
    allowed = limits.limit * READ_SHARE
    assert 0.95 * allowed < weight < allowed * (1 + BURST / 60) + 20


async def test_what_others_used_leaves_the_rest_to_orders() -> None:
    time = Time()
    limits = _limits(time)
    limits.note({"X-MBX-USED-WEIGHT-1M": "5395"})
    with pytest.raises(VenueThrottled, match="5395 of 6000") as caught:
        await limits.admit(20)
    assert caught.value.retry_after == pytest.approx(60 - time.now % 60)
    limits.silence.require_over()  # orders go on
    time.now += caught.value.retry_after
    await limits.admit(20)  # the next minute counts anew


async def test_nothing_is_sent_until_the_venue_may_be_asked_again() -> None:
    time = Time()
    limits = _limits(time)
    limits.silence.keep(30)
    limits.silence.keep(10)  # a later, shorter one does not shorten it
    time.now += 29
    with pytest.raises(VenueThrottled) as caught:
        limits.silence.require_over()
    assert caught.value.retry_after == pytest.approx(1)
    with pytest.raises(VenueThrottled):
        await limits.admit(1)
    time.now += 1
    limits.silence.require_over()


# -- configuration -------------------------------------------------------------------------


def _venue(symbols: list[str], **options: Any) -> VenueConfig:
    return VenueConfig(name="spot", connector="binance", symbols=symbols, options=options)


def test_the_sandbox_is_the_default_and_urls_can_be_replaced() -> None:
    options = parse_options(_venue(["BTCUSDT"]), source="f")
    assert options.urls(sandbox=True) == TESTNET
    assert options.urls(sandbox=False) == PRODUCTION
    options = parse_options(_venue(["BTCUSDT"], rest_url="http://127.0.0.1:1/"), source="f")
    assert options.urls(sandbox=False) == ("http://127.0.0.1:1", *PRODUCTION[1:])


@pytest.mark.parametrize(
    ("symbols", "options", "told"),
    [
        (["BTCUSDT", "BTCUSDC"], {}, r"f: venues.spot.symbols: BTCUSDT and BTCUSDC.*BTC.*remedy"),
        (["btcusdt"], {}, r"f: venues.spot.symbols: value 'btcusdt'; remedy.*BTCUSDT"),
        (["BTC-USDT"], {}, "remedy"),
        (["BTCUSDT"], {"recv_window": 60_001}, r"venues.spot.options.recv_window.*60001"),
        (["BTCUSDT"], {"rest_url": "ftp://x"}, r"venues.spot.options.rest_url"),
        (["BTCUSDT"], {"recvWindow": 1}, r"did you mean 'recv_window'"),
    ],
)
def test_configurations_that_are_refused(
    symbols: list[str], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_options(_venue(symbols, **options), source="f")


def test_the_catalog_builds_it_and_names_a_secret_that_cannot_sign(tmp_path: Path) -> None:
    venue = _venue(["BTCUSDT", "ETHUSDT"])
    store = CredentialStore.open(
        "binance", None, {"BINANCE_API_KEY": "k" * 64, "BINANCE_API_SECRET": "s" * 64}
    )
    built = build_connector(venue, tmp_path, store, source="f", clock=Time())
    assert (built.name, built.symbols) == ("spot", frozenset({"BTCUSDT", "ETHUSDT"}))
    assert built.outcome_horizon == 15.0
    assert not built.streaming
    assert built.quote("BTCUSDT") is None
