"""The paper venue's own state: orders, trades, prices, in one SQLite file.

It plays the part of the exchange, so it lives apart from the runner's state (``paper/`` is in
no backup): a restored runner must reconcile with it as with a real venue. Every operation is one
transaction, committed before it is answered, so a killed process loses nothing that was answered.
Power loss may lose its last moments (``synchronous=OFF``): the fsync budget belongs to the
runner's own journal.

Like Binance, it refuses a client id that is open and accepts it again once the order closed:
the runner must never depend on more.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

from tradepulse_runner.domain import (
    ZERO,
    Instrument,
    Order,
    OrderStatus,
    OrderType,
    Quote,
    Side,
    Trade,
    VenueOrder,
)
from tradepulse_runner.errors import OrderNotFound, OrderRejected
from tradepulse_runner.venues.matching import Book, Incoming, Plan, SelfTrade, plan
from tradepulse_runner.venues.prices import PriceSource, tick_size

OWNER = "runner"
LEVELS = 5
HALF_SPREAD = Decimal("0.00005")
# Depth per level, quote currency: small enough that ordinary orders fill in parts.
LEVEL_NOTIONAL = (100.0, 1_500.0)
AGGRESSOR_NOTIONAL = (50.0, 2_000.0)
# Longest absence (in ticks) that is played back when the venue opens again.
MAX_CATCH_UP = 600
KEEP_TRADES = 500_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS orders(
  id INTEGER PRIMARY KEY AUTOINCREMENT, client_id TEXT NOT NULL, symbol TEXT NOT NULL,
  side TEXT NOT NULL, type TEXT NOT NULL, price TEXT, quantity TEXT NOT NULL,
  filled TEXT NOT NULL, status TEXT NOT NULL, created REAL NOT NULL);
CREATE INDEX IF NOT EXISTS orders_client ON orders(client_id);
CREATE INDEX IF NOT EXISTS orders_open ON orders(status)
  WHERE status IN ('open','partially_filled');
CREATE TABLE IF NOT EXISTS trades(
  id INTEGER PRIMARY KEY AUTOINCREMENT, client_id TEXT NOT NULL, symbol TEXT NOT NULL,
  side TEXT NOT NULL, price TEXT NOT NULL, quantity TEXT NOT NULL, ts REAL NOT NULL);
CREATE TABLE IF NOT EXISTS positions(symbol TEXT PRIMARY KEY, quantity TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS market(
  symbol TEXT PRIMARY KEY, tick INTEGER NOT NULL, price REAL NOT NULL, ts REAL NOT NULL);
"""


@dataclass(slots=True)
class _Resting:
    """An order in the book. ``account`` empty: another participant's."""

    id: int
    buys: bool
    price: Decimal
    remaining: Decimal
    account: str = ""


@dataclass(slots=True)
class _Market:
    """One symbol's running state; ``synthetic`` counts other participants' ids."""

    source: PriceSource
    instrument: Instrument
    book: Book[_Resting]
    tick: int
    price: float
    quote: Quote | None = None
    synthetic: int = 1 << 60


class PaperExchange:
    """The exchange. Synchronous; not thread-safe. ``clock`` gives unix seconds."""

    def __init__(
        self,
        path: Path,
        sources: Mapping[str, PriceSource],
        *,
        seed: int,
        tick_interval: float,
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._seed = seed
        self._interval = tick_interval
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute("PRAGMA cache_size=-512")
        self._db.executescript(_SCHEMA)
        self._markets = {symbol: self._open(symbol, src) for symbol, src in sources.items()}
        self._catch_up()

    def close(self) -> None:
        self._db.close()

    # -- the exchange's interface ----------------------------------------------------------

    def place(self, client_id: str, order: Order) -> VenueOrder:
        """Match ``order`` and rest what is left. Raises :class:`OrderRejected`."""
        market = self._markets.get(order.symbol)
        if market is None:
            raise OrderRejected(f"unknown symbol {order.symbol}")
        self._check_steps(market.instrument, order)
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            if self._find(client_id, open_only=True) is not None:
                raise OrderRejected(f"duplicate order sent: {client_id} is open")
            order_id = self._insert(client_id, order)
            self._execute_new(market, order_id, order)
            return self._row_to_order(self._row(order_id))

    def cancel(self, client_id: str) -> VenueOrder:
        """Cancel if open; the order as it is now. Raises :class:`OrderNotFound`."""
        row = self._find(client_id)
        if row is None:
            raise OrderNotFound(client_id)
        if OrderStatus(row["status"]).working:
            self._markets[row["symbol"]].book.remove(_resting(row))
            self._set_status(row["id"], OrderStatus.CANCELLED)
        return self._row_to_order(self._row(row["id"]))

    def fetch(self, client_id: str) -> VenueOrder:
        row = self._find(client_id)
        if row is None:
            raise OrderNotFound(client_id)
        return self._row_to_order(row)

    def open_orders(self) -> list[VenueOrder]:
        return [self._row_to_order(row) for row in self._open_rows()]

    def positions(self) -> dict[str, Decimal]:
        return {r["symbol"]: Decimal(r["quantity"]) for r in self._query("SELECT * FROM positions")}

    def trades_since(self, last: int) -> list[Trade]:
        """Trades with an id above ``last``, oldest first."""
        return [
            Trade(
                str(r["id"]), r["client_id"], r["symbol"], Side(r["side"]),
                Decimal(r["price"]), Decimal(r["quantity"]), r["ts"],
            )
            for r in self._query("SELECT * FROM trades WHERE id > ? ORDER BY id", last)
        ]  # fmt: skip

    def order_count(self) -> int:
        """Orders ever accepted."""
        return int(self._query("SELECT count(*) AS n FROM orders")[0]["n"])

    def last_trade(self) -> int:
        row = self._query("SELECT max(id) AS last FROM trades")[0]
        return int(row["last"] or 0)

    def quote(self, symbol: str) -> Quote | None:
        return self._markets[symbol].quote

    def instrument(self, symbol: str) -> Instrument:
        return self._markets[symbol].instrument

    # -- the market ------------------------------------------------------------------------

    def tick(self) -> None:
        """One step of every market: new price, new quotes, one aggressor."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            for symbol, market in self._markets.items():
                self._tick(symbol, market)

    def _tick(self, symbol: str, market: _Market) -> None:
        market.tick += 1
        market.price = market.source.next(market.tick, market.price)
        chance = random.Random(f"{self._seed}:{symbol}:book:{market.tick}")
        for buys in (True, False):  # the others quote anew
            for _, order in list(market.book.orders(buys=buys)):
                if not order.account:
                    market.book.remove(order)
        for level in range(LEVELS):
            for side in (Side.BUY, Side.SELL):
                self._quote_level(market, side, level, chance)
        side = chance.choice((Side.BUY, Side.SELL))
        self._trade_as_other(market, side, self._size(market, chance, AGGRESSOR_NOTIONAL))
        self._publish(market)
        self._db.execute(
            "INSERT OR REPLACE INTO market VALUES(?,?,?,?)",
            (symbol, market.tick, market.price, self._clock()),
        )
        if market.tick % 10_000 == 0:
            keep = (self.last_trade() - KEEP_TRADES,)
            self._db.execute("DELETE FROM trades WHERE id < ?", keep)

    def _quote_level(self, market: _Market, side: Side, level: int, chance: random.Random) -> None:
        step = market.instrument.tick
        mid = Decimal(market.price)
        away = mid * HALF_SPREAD * (1 + level)
        price = (mid - away * side.sign).quantize(step, ROUND_HALF_EVEN)
        # Ids far above any of ours: at an equal price the orders that waited go first.
        market.synthetic += 1
        maker = _Resting(
            market.synthetic, side is Side.BUY, price, self._size(market, chance, LEVEL_NOTIONAL)
        )
        self._match(market, maker)
        if maker.remaining:
            market.book.add(maker)

    def _trade_as_other(self, market: _Market, side: Side, size: Decimal) -> None:
        self._match(market, _Resting(0, side is Side.BUY, ZERO, size), limit=False)

    def _size(
        self, market: _Market, chance: random.Random, notional: tuple[float, float]
    ) -> Decimal:
        raw = Decimal(chance.uniform(*notional) / market.price)
        return max(raw.quantize(market.instrument.lot), market.instrument.lot)

    def _publish(self, market: _Market) -> None:
        bid, ask = market.book.best(buys=True), market.book.best(buys=False)
        if bid is not None and ask is not None:
            market.quote = Quote(bid, ask, self._clock())

    # -- opening ---------------------------------------------------------------------------

    def _open(self, symbol: str, source: PriceSource) -> _Market:
        rows = self._query("SELECT * FROM market WHERE symbol = ?", symbol)
        tick, price = (rows[0]["tick"], rows[0]["price"]) if rows else (0, source.start)
        steps = Instrument(tick_size(source.start), Decimal(1).scaleb(-_lot_digits(source.start)))
        market = _Market(source, steps, Book(), tick, price)
        for row in self._open_rows():
            if row["symbol"] == symbol and row["price"] is not None:
                market.book.add(_resting(row))
        return market

    def _catch_up(self) -> None:
        """Replay the ticks of the time when no process ran: resting orders may have filled."""
        rows = self._query("SELECT max(ts) AS ts FROM market")
        last = rows[0]["ts"]
        missed = int((self._clock() - last) / self._interval) if last else 0
        for _ in range(min(max(missed, 1), MAX_CATCH_UP)):
            self.tick()

    # -- bookkeeping -----------------------------------------------------------------------

    def _check_steps(self, steps: Instrument, order: Order) -> None:
        if order.quantity % steps.lot or (order.price is not None and order.price % steps.tick):
            raise OrderRejected(f"filter failure: steps are {steps.tick} and {steps.lot}")

    def _execute_new(self, market: _Market, order_id: int, order: Order) -> None:
        limit = order.type is OrderType.LIMIT
        buys, price = order.side is Side.BUY, order.price or ZERO
        taker = _Resting(order_id, buys, price, order.quantity, OWNER)
        done = self._match(market, taker, limit=limit)
        if taker.remaining and (done.taker_expired or not limit):
            self._set_status(order_id, OrderStatus.CANCELLED)
        elif taker.remaining:
            market.book.add(taker)
        self._publish(market)

    def _match(self, market: _Market, taker: _Resting, *, limit: bool = True) -> Plan[_Resting]:
        """Trade ``taker``. Of ours, what is left expires before it meets another of ours."""
        incoming = Incoming(
            taker.account,
            taker.buys,
            taker.price if limit else None,
            taker.remaining,
            self_trade=SelfTrade.EXPIRE_TAKER if taker.account else SelfTrade.NONE,
        )
        done = plan(market.book, incoming)
        for match in done.matches:
            for party in (match.maker, taker):
                party.remaining -= match.quantity
                if party.account:
                    self._fill(party, match.price, match.quantity)
            if not match.maker.remaining:
                market.book.remove(match.maker)
        return done

    def _fill(self, party: _Resting, price: Decimal, quantity: Decimal) -> None:
        row = self._row(party.id)
        filled = Decimal(row["filled"]) + quantity
        status = OrderStatus.PARTIALLY_FILLED if party.remaining else OrderStatus.FILLED
        self._db.execute(
            "UPDATE orders SET filled=?, status=? WHERE id=?", (str(filled), status, row["id"])
        )
        self._db.execute(
            "INSERT INTO trades(client_id,symbol,side,price,quantity,ts) VALUES(?,?,?,?,?,?)",
            (row["client_id"], row["symbol"], row["side"], str(price), str(quantity),
             self._clock()),
        )  # fmt: skip
        position = self.positions().get(row["symbol"], ZERO) + quantity * Side(row["side"]).sign
        self._db.execute(
            "INSERT OR REPLACE INTO positions VALUES(?,?)", (row["symbol"], str(position))
        )

    def _insert(self, client_id: str, order: Order) -> int:
        price = None if order.price is None else str(order.price)
        cursor = self._db.execute(
            "INSERT INTO orders(client_id,symbol,side,type,price,quantity,filled,status,created)"
            " VALUES(?,?,?,?,?,?,'0',?,?)",
            (client_id, order.symbol, order.side, order.type, price, str(order.quantity),
             OrderStatus.OPEN, self._clock()),
        )  # fmt: skip
        return int(cursor.lastrowid or 0)

    def _set_status(self, order_id: int, status: OrderStatus) -> None:
        self._db.execute("UPDATE orders SET status=? WHERE id=?", (status, order_id))

    def _find(self, client_id: str, *, open_only: bool = False) -> sqlite3.Row | None:
        only = " AND status IN ('open','partially_filled')" if open_only else ""
        text = f"SELECT * FROM orders WHERE client_id=?{only} ORDER BY id DESC LIMIT 1"
        rows = self._query(text, client_id)
        return rows[0] if rows else None

    def _open_rows(self) -> list[sqlite3.Row]:
        return self._query(
            "SELECT * FROM orders WHERE status IN ('open','partially_filled') ORDER BY id"
        )

    def _row(self, order_id: int) -> sqlite3.Row:
        return self._query("SELECT * FROM orders WHERE id=?", order_id)[0]

    def _query(self, text: str, *values: Any) -> list[sqlite3.Row]:
        cursor = self._db.execute(text, values)
        cursor.row_factory = sqlite3.Row
        return cursor.fetchall()

    def _row_to_order(self, row: sqlite3.Row) -> VenueOrder:
        price = None if row["price"] is None else Decimal(row["price"])
        kind, side = OrderType(row["type"]), Side(row["side"])
        order = Order(row["symbol"], side, Decimal(row["quantity"]), kind, price)
        status = OrderStatus(row["status"])
        filled = Decimal(row["filled"])
        return VenueOrder(row["client_id"], str(row["id"]), order, status, filled)


def _resting(row: sqlite3.Row) -> _Resting:
    left = Decimal(row["quantity"]) - Decimal(row["filled"])
    return _Resting(row["id"], row["side"] == Side.BUY, Decimal(row["price"]), left, OWNER)


def _lot_digits(price: float) -> int:
    """Digits of the quantity step: a lot is worth at most about one unit of money."""
    return max(0, len(str(int(price))))
