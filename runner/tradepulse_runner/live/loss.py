"""The daily loss breaker: how much the runner has lost since the UTC day began.

Venues whose symbols are paid in the same currency are counted together, gains against losses: the
two legs of one trade may be at two venues, and the loss of one alone means nothing. Venues of
another currency are counted by themselves, against the same limit. Cash and positions are those of
the order books, marked to the mid price; each venue's day begins with its first poll.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from tradepulse_runner.currency import quote_currency
from tradepulse_runner.domain import ZERO
from tradepulse_runner.live.session import VenueSession
from tradepulse_runner.live.trading_state import TradingState
from tradepulse_runner.risk.manager import RiskLimits


class DailyLoss:
    """Watches ``sessions`` (by venue), and reports a soft breach to ``state``. ``clock`` gives unix
    seconds."""

    def __init__(
        self,
        limits: RiskLimits,
        sessions: Mapping[str, VenueSession],
        state: TradingState,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._limits, self._sessions = limits, sessions
        self._state, self._clock = state, clock
        self._lost: dict[str, tuple[str, Decimal]] = {}  # venue -> day, loss (quote currency)
        self._soft = ("", "")  # day, why

    def broken(self, venue: str) -> str:
        """Measure after a poll of ``venue``. Returns why the kill switch must be engaged, or ""."""
        currency, day = _currency(self._sessions[venue]), self._today()
        for session in self._sessions.values():
            # All at the prices of one moment: two legs move together, their polls don't.
            self._measure(session, begin=session.name == venue)
        losses = {
            name: lost
            for name, (of_day, lost) in self._lost.items()
            if of_day == day and _currency(self._sessions[name]) == currency
        }
        total = sum(losses.values(), ZERO)
        shown = ", ".join(f"{name} {lost}" for name, lost in losses.items())
        why = f"daily loss of {total} {currency} on {day} ({shown})"
        soft = self._limits.soft_daily_loss
        if soft is not None and total >= soft:
            self._soft = (day, why)
        self._state.set_soft_loss(self.soft_breach)  # also when a new day ended it
        return why if total >= self._limits.max_daily_loss else ""

    @property
    def share(self) -> float:
        """Today's largest loss, of the currencies', as a share of the limit; 0 for a gain."""
        day, totals = self._today(), dict[str, Decimal]()
        for name, (of_day, lost) in self._lost.items():
            if of_day == day:
                currency = _currency(self._sessions[name])
                totals[currency] = totals.get(currency, ZERO) + lost
        return max(0.0, float(max(totals.values(), default=ZERO) / self._limits.max_daily_loss))

    @property
    def soft_breach(self) -> str:
        """Why only what reduces may be sent; once reached, it stays in force until the day ends, so
        that a loss that swings about the limit doesn't switch trading on and off."""
        day, why = self._soft
        return why if day == self._today() else ""

    def _measure(self, session: VenueSession, *, begin: bool) -> None:
        """Without a price for a position the loss can't be computed: the last one stays, and the
        risk check already refuses to trade that symbol. ``begin``: the venue was just polled, so
        that its day may begin with this."""
        state, marks = session.oms.state, _marks(session)
        if any(size and symbol not in marks for symbol, size in state.positions.items()):
            return
        equity, day = state.equity(marks), self._today()
        if state.day != day:
            if not begin:
                return
            session.oms.start_day(day, equity)
        self._lost[session.name] = (day, state.day_equity - equity)

    def _today(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%d")


def _currency(session: VenueSession) -> str:
    return quote_currency(min(session.symbols, default=""))


def _marks(session: VenueSession) -> dict[str, Decimal]:
    symbols = {*session.oms.state.positions, *session.symbols}
    quotes = {symbol: session.connector.quote(symbol) for symbol in symbols}
    return {symbol: quote.mid for symbol, quote in quotes.items() if quote}
