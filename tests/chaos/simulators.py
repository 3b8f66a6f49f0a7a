"""Binance and Coinbase as the venue kit plays them, each case in a server process of its own."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import signal
import time
import traceback
import urllib.request
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.chaos.plan import REFUSAL, Case, chance_of
from tests.chaos.venue_state import OrderAtVenue, VenueState
from tests.support.venues.binance import BinanceVenue
from tests.support.venues.coinbase import CoinbaseVenue
from tests.support.venues.coinbase.keys import make_ed25519
from tests.support.venues.coinbase.values import named_uuid
from tradepulse_runner.config.runner import VenueConfig
from tradepulse_runner.credentials.store import CredentialStore
from tradepulse_runner.domain import ZERO, OrderType, Side
from tradepulse_runner.venues.base import ExecutionConnector
from tradepulse_runner.venues.binance.connector import build_binance
from tradepulse_runner.venues.coinbase.connector import CoinbaseConnector
from tradepulse_runner.venues.coinbase.options import CoinbaseOptions

CASH = Decimal(1_000_000)
#: Seconds between the crowd's steps.
PULSE = 0.03
#: Seconds until the server must be there.
PATIENCE = 20.0
STATUS = {"NEW": "open", "PARTIALLY_FILLED": "partially_filled", "FILLED": "filled"}
Row = dict[str, Any]

#: Of requests about orders, about what is known of them, and of the streams. A client that waits
#: for an answer gives up before ``LONG`` is over.
LONG = 3.0
ORDER_FAULTS = (
    ("timeout_after_accept", LONG),
    ("timeout_before_accept", LONG),
    ("error_after_accept", 0.0),
    ("error_before_accept", 0.0),
    ("reset_after_accept", 0.0),
    ("delay", 0.3),
)
QUERY_FAULTS = (("error_before_accept", 0.0), ("reset_after_accept", 0.0), ("delay", 0.2))
STREAM_FAULTS = ("drop_fills", "reorder_stream", "duplicate_ack", "cut_stream")


def faults(chance: random.Random) -> list[Row]:
    """What goes wrong in one life."""
    found = [_fault(chance, "place", *chance.choice(ORDER_FAULTS)) for _ in range(3)]
    found.append(_fault(chance, "cancel", *chance.choice(ORDER_FAULTS)))
    about = chance.choice(("query", "open_orders", "trades", "account"))
    found.append(_fault(chance, about, *chance.choice(QUERY_FAULTS)))
    found += [_fault(chance, "stream", chance.choice(STREAM_FAULTS), 0.0) for _ in range(2)]
    return found


def _fault(chance: random.Random, on: str, kind: str, seconds: float) -> Row:
    return {"on": on, "kind": kind, "seconds": seconds, "after": chance.randint(0, 5)}


class KitVenue:
    """What both have in common. ``base`` and ``quote`` are the traded assets."""

    name: str
    symbol: str
    base = "BTC"
    quote: str
    pid: int | None = None

    def start(self, case: Case, folder: Path) -> None:
        self._chosen = folder / "venue.json"
        gc.freeze()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                log = os.open(folder / "venue.log", os.O_WRONLY | os.O_CREAT, 0o600)
                os.dup2(log, 1)
                os.dup2(log, 2)
                asyncio.run(self._serve(case))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        self.urls = self._wait()

    def _wait(self) -> dict[str, str]:
        end = time.monotonic() + PATIENCE
        while not self._chosen.exists():
            if time.monotonic() > end:
                raise TimeoutError(f"{self._chosen}: the venue did not come up")
            time.sleep(0.005)
        found: dict[str, str] = json.loads(self._chosen.read_text())
        return found

    async def _serve(self, case: Case) -> None:
        async with self._venue(case) as venue:
            venue.exchange.deposit("runner", self.quote, CASH)
            text = json.dumps(self._urls(venue))
            temp = self._chosen.with_suffix(".tmp")
            temp.write_text(text)
            temp.rename(self._chosen)
            await asyncio.Event().wait()

    def _venue(self, case: Case) -> Any:
        raise NotImplementedError

    def _urls(self, venue: Any) -> dict[str, str]:
        raise NotImplementedError

    def connector(self, clock: Callable[[], float]) -> ExecutionConnector:
        raise NotImplementedError

    def misbehave(self, case: Case, life: int) -> None:
        self._ask("DELETE", "/_kit/faults")
        chance = chance_of(case, life, "faults")
        refusal = _fault(chance, "place", "throttle", 0.1)
        more = [{**refusal, "after": life}] if case.point == REFUSAL else []
        self._ask("POST", "/_kit/faults", more + faults(chance))

    def behave(self) -> None:
        self._ask("DELETE", "/_kit/faults")

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        url = self.urls["rest_url"] + path
        request = urllib.request.Request(url, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def venue_state(self) -> VenueState:
        found = self._ask("GET", "/_kit/venue_state?account=runner")
        balance = found["balances"].get(self.base, {"free": "0", "locked": "0"})
        return VenueState(
            tuple(_order(row) for row in found["orders"]),
            frozenset(self._fill_id(row) for row in found["fills"]),
            {self.symbol: Decimal(balance["free"]) + Decimal(balance["locked"])},
            sum((self._cash(row) for row in found["fills"]), ZERO),
        )

    def _fill_id(self, row: Row) -> str:
        raise NotImplementedError

    def _cash(self, row: Row) -> Decimal:
        paid = Side(row["side"].lower()).sign * Decimal(row["price"]) * Decimal(row["quantity"])
        return -paid - (Decimal(row["fee"]) if row["fee_asset"] == self.quote else ZERO)

    def stop(self) -> None:
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def _order(row: Row) -> OrderAtVenue:
    return OrderAtVenue(
        row["client_id"],
        row["symbol"],
        Side(row["side"].lower()),
        OrderType(row["kind"].lower()),
        None if row["price"] is None else Decimal(row["price"]),
        Decimal(row["quantity"]),
        Decimal(row["filled"]),
        STATUS.get(row["status"], "cancelled"),
    )


class Binance(KitVenue):
    """A request is valid for half a second, so that a proof takes less than a second."""

    name = "binance"
    symbol = "BTCUSDT"
    quote = "USDT"
    key = ("chaos-campaign-key", "chaos-campaign-secret")

    def _venue(self, case: Case) -> BinanceVenue:
        venue = BinanceVenue(seed=case.seed, interval=PULSE, weight_limit=10**9, order_limit=10**9)
        venue.add_key(*self.key)
        return venue

    def _urls(self, venue: BinanceVenue) -> dict[str, str]:
        return {
            "rest_url": venue.rest_url,
            "ws_api_url": venue.ws_api_url,
            "stream_url": venue.stream_url,
        }

    def connector(self, clock: Callable[[], float]) -> ExecutionConnector:
        options = {**self.urls, "recv_window": 500, "clock_margin": 0.3}
        venue = VenueConfig(
            name=self.name, connector="binance", symbols=[self.symbol], options=options
        )
        environment = {"BINANCE_API_KEY": self.key[0], "BINANCE_API_SECRET": self.key[1]}
        store = CredentialStore.open("binance", None, environment)
        return build_binance(venue, store, source="chaos", clock=clock)

    def _fill_id(self, row: Row) -> str:
        return f"{row['symbol']}:{row['id']}"


class Coinbase(KitVenue):
    """A token is valid for two seconds: shorter than a configuration may say, so that a proof
    takes no longer than a case."""

    name = "coinbase"
    symbol = "BTC-USD"
    quote = "USD"

    def start(self, case: Case, folder: Path) -> None:
        self._pair = make_ed25519()
        super().start(case, folder)

    def _venue(self, case: Case) -> CoinbaseVenue:
        venue = CoinbaseVenue(seed=case.seed, interval=PULSE, private_rate=None, public_rate=None)
        venue.add_key(self._pair.name, self._pair.public_key_pem, "runner")
        return venue

    def _urls(self, venue: CoinbaseVenue) -> dict[str, str]:
        return {
            "rest_url": venue.rest_url,
            "ws_url": venue.ws_url,
            "ws_user_url": venue.ws_user_url,
        }

    def connector(self, clock: Callable[[], float]) -> ExecutionConnector:
        venue = VenueConfig(
            name=self.name, connector="coinbase", symbols=[self.symbol], sandbox=False
        )
        short: dict[str, Any] = {"token_lifetime": 2, "fence_margin": 0.3}
        options = CoinbaseOptions().model_copy(update={**self.urls, **short})
        environment = {
            "COINBASE_API_KEY": self._pair.name,
            "COINBASE_API_SECRET": self._pair.secret,
        }
        store = CredentialStore.open("coinbase", None, environment)
        return CoinbaseConnector(venue, options, store, clock=clock)

    def _fill_id(self, row: Row) -> str:
        return named_uuid("entry", "runner", row["order_id"], row["sequence"])
