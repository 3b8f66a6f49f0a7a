"""The daily loss breaker: how much a venue's book has lost since the UTC day began."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from tradepulse_runner.risk import RiskManager
from tradepulse_runner.session import VenueSession


class DailyLoss:
    """Watches one session. ``clock`` gives unix seconds."""

    def __init__(
        self, risk: RiskManager, session: VenueSession, *, clock: Callable[[], float]
    ) -> None:
        self._risk, self._session, self._clock = risk, session, clock

    def broken(self) -> str:
        """Why the kill switch must be engaged; "" while it need not. Without a price for a
        position nothing can be said, and the risk gate already refuses to trade it."""
        state, marks = self._session.oms.state, self._marks()
        if any(held and symbol not in marks for symbol, held in state.positions.items()):
            return ""
        equity = state.equity(marks)
        day = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%d")
        if state.day != day:
            self._session.oms.start_day(day, equity)
            return ""
        if not self._risk.daily_loss_broken(state.day_equity, equity):
            return ""
        return f"daily loss at {self._session.name}: {state.day_equity - equity} on {day}"

    def _marks(self) -> dict[str, Decimal]:
        connector = self._session.connector
        held = {*self._session.oms.state.positions, *self._session.symbols}
        quotes = {symbol: connector.quote(symbol) for symbol in held}
        return {symbol: quote.mid for symbol, quote in quotes.items() if quote}
