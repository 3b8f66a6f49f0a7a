"""The configuration, and the small parts: the clock, what is known of orders, joined requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.runner.venues.coinbase_fixtures import buy, store
from tests.support.venues.coinbase.keys import make_ed25519
from tradepulse_runner.config.runner import VenueConfig, load_config
from tradepulse_runner.domain import OrderStatus, VenueOrder
from tradepulse_runner.errors import ConfigError, OrderNotFound, VenueDisconnected
from tradepulse_runner.venues.catalog import build_connector
from tradepulse_runner.venues.coinbase.batch import Batch
from tradepulse_runner.venues.coinbase.clock import VenueClock
from tradepulse_runner.venues.coinbase.connector import CoinbaseConnector
from tradepulse_runner.venues.coinbase.known import Known
from tradepulse_runner.venues.coinbase.options import parse_options

# -- configuration -----------------------------------------------------------------------------

ELSEWHERE = {"rest_url": "http://127.0.0.1:1"}


def _venue(symbols: list[str], **options: Any) -> VenueConfig:
    sandbox = options.pop("sandbox", False)
    return VenueConfig(
        name="cb", connector="coinbase", sandbox=sandbox, symbols=symbols, options=options
    )


def test_coinbases_own_servers_are_for_real_money_only() -> None:
    options = parse_options(_venue(["BTC-USD"]), source="f")
    assert options.rest_url == "https://api.coinbase.com"
    with pytest.raises(ConfigError, match=r"f: venues.cb.sandbox: true.*fixed texts.*remedy"):
        parse_options(_venue(["BTC-USD"], sandbox=True), source="f")
    assert parse_options(_venue(["BTC-USD"], sandbox=True, **ELSEWHERE), source="f")


@pytest.mark.parametrize(
    ("symbols", "options", "told"),
    [
        (["BTC-USD", "BTC-USDC"], {}, r"f: venues.cb.symbols: BTC-USD and BTC-USDC.*BTC.*remedy"),
        (["BTC-USD", "ETH-BTC"], {}, "share the asset BTC"),
        (["ETH-BTC", "BTC-USD"], {}, "share the asset BTC"),
        (["BTCUSD"], {}, r"f: venues.cb.symbols: value 'BTCUSD'; remedy.*BTC-USD"),
        (["btc-usd"], {}, "remedy"),
        (["BIP-20DEC30-CDE"], {}, "remedy"),
        (["BTC-USD"], {"token_lifetime": 121}, r"venues.cb.options.token_lifetime.*121"),
        (["BTC-USD"], {"token_lifetime": 5}, r"venues.cb.options.token_lifetime.*5"),
        (["BTC-USD"], {"rest_url": "https://api.coinbase.com/v3"}, r"venues.cb.options.rest_url"),
        (["BTC-USD"], {"silense": 1}, r"did you mean 'silence'"),
    ],
)
def test_configurations_that_are_refused(
    symbols: list[str], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_options(_venue(symbols, **options), source="f")


def test_the_example_makes_a_connector(tmp_path: Path) -> None:
    [venue] = load_config(Path("configs/coinbase-sandbox.yaml")).venues
    made = build_connector(venue, tmp_path, store(make_ed25519()), source="f", clock=time.time)
    assert isinstance(made, CoinbaseConnector)
    assert made.outcome_horizon == 30


def test_a_secret_that_nothing_can_be_signed_with_is_refused_at_once(tmp_path: Path) -> None:
    pair = make_ed25519()
    bad = store(pair, COINBASE_API_SECRET="neither-a-pem-nor-a-key")
    with pytest.raises(ConfigError, match=r"^COINBASE_API_SECRET: .*remedy"):
        build_connector(_venue(["BTC-USD"]), tmp_path, bad, source="f", clock=time.time)


# -- clock -------------------------------------------------------------------------------------


def test_the_venues_time_is_known_within_half_a_round_trip() -> None:
    clock = VenueClock(lambda: 100.0, wall=lambda: 5_000.0)
    assert clock.now() == 5_000.0
    assert clock.adopt(98.0, 100.0, 6_000.0)
    assert clock.now() == 6_001.0
    assert clock.uncertainty == 1.0
    assert not clock.adopt(90.0, 100.0, 9_000.0)  # too slow to tell anything
    assert clock.now() == 6_001.0
    assert clock.adopt(99.9, 100.0, 6_000.0)
    assert clock.uncertainty == 1.0  # tokens were made with that


# -- what is known of orders -------------------------------------------------------------------


def _order(number: int) -> VenueOrder:
    return VenueOrder(f"tp-{number}", f"v-{number}", buy(), OrderStatus.OPEN, Decimal(0))


async def test_orders_are_known_by_both_ids_and_the_oldest_is_forgotten() -> None:
    known = Known(keep=2)
    for number in range(3):
        known.remember(_order(number))
    assert [known.client_id(f"v-{n}") for n in range(3)] == [None, "tp-1", "tp-2"]
    assert [known.venue_id(f"tp-{n}") for n in range(3)] == ["", "v-1", "v-2"]
    assert known.asked("v-0") is None
    assert known.asked("v-2") == buy()


async def test_an_order_is_waited_for_by_everybody_who_asks() -> None:
    known = Known()
    waiting = [asyncio.create_task(known.wait_for("v-1", 5)) for _ in range(2)]
    await asyncio.sleep(0)
    known.remember(_order(2))
    known.remember(_order(1))
    assert await asyncio.gather(*waiting) == [_order(1)] * 2
    hasty, waiting_on = known.wait_for("v-4", 0.01), known.wait_for("v-4", 0.1)
    assert list(await asyncio.gather(hasty, waiting_on)) == [None, None]
    assert await known.wait_for("v-1", 0) == _order(1)
    assert await known.wait_for("v-3", 0.01) is None
    assert not known._awaited


# -- joined requests ---------------------------------------------------------------------------


class Sender:
    """Answers with the key in capitals, when it is let."""

    def __init__(self) -> None:
        self.sent: list[list[str]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, keys: list[str]) -> Mapping[str, str | Exception]:
        self.sent.append(keys)
        await self.open.wait()
        if "fatal" in keys:
            raise VenueDisconnected("gone")
        found: dict[str, str | Exception] = {k: k.upper() for k in keys if k != "missing"}
        if "bad" in found:
            found["bad"] = ValueError("bad")
        return found


def _batch(sender: Sender, limit: int = 50) -> Batch[str]:
    return Batch(sender, OrderNotFound, limit=limit)


async def test_what_is_asked_at_once_is_sent_as_one_and_each_gets_its_own() -> None:
    sender = Sender()
    batch = _batch(sender, limit=4)
    keys = ["a", "b", "a", "missing", "bad", "c"]
    answers = await asyncio.gather(*(batch.ask(key) for key in keys), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["A", "B", "A", "missing", "bad", "C"]
    assert sender.sent == [["a", "b", "missing", "bad"], ["c"]]


async def test_while_one_is_under_way_the_next_gathers() -> None:
    sender = Sender()
    batch = _batch(sender)
    sender.open.clear()
    tasks = []
    for key in "abc":
        tasks.append(asyncio.create_task(batch.ask(key)))
        for _ in range(5):
            await asyncio.sleep(0)
    assert sender.sent == [["a"]]
    sender.open.set()
    assert await asyncio.gather(*tasks) == ["A", "B", "C"]
    assert sender.sent == [["a"], ["b", "c"]]


async def test_a_failure_is_everybodys_and_the_next_one_works() -> None:
    batch = _batch(Sender())
    failed = await asyncio.gather(batch.ask("fatal"), batch.ask("a"), return_exceptions=True)
    assert [type(error) for error in failed] == [VenueDisconnected] * 2
    assert await batch.ask("a") == "A"


async def test_whoever_gives_up_does_not_take_the_others_along() -> None:
    sender = Sender()
    batch = _batch(sender)
    sender.open.clear()
    impatient, patient = (asyncio.create_task(batch.ask("a")) for _ in range(2))
    await asyncio.sleep(0.01)
    impatient.cancel()
    sender.open.set()
    assert await patient == "A"
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_closing_tells_those_who_wait_that_nothing_is_known() -> None:
    sender = Sender()
    batch = _batch(sender, limit=1)
    sender.open.clear()
    tasks = [asyncio.create_task(batch.ask(key)) for key in "ab"]
    await asyncio.sleep(0.01)
    await batch.close()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in answers] == [VenueDisconnected] * 2
