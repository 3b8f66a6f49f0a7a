"""Steps the strategy, and carries out its actions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from tradepulse_runner.domain import ZERO, Order
from tradepulse_runner.errors import OrderError, RiskRejected
from tradepulse_runner.live.session import VenueSession
from tradepulse_runner.live.signals import Signal
from tradepulse_runner.live.submission import Submitter
from tradepulse_runner.live.trading_state import TradingState
from tradepulse_runner.strategy.base import Action, Cancel, MarketView, Strategy

log = logging.getLogger(__name__)


class StrategyRunner:
    """Steps ``strategy`` while ``state`` refuses no order. ``on_signal`` is emitted with venue and
    order for each order that it asks for, before any check; ``clock`` gives unix seconds."""

    def __init__(
        self,
        strategy: Strategy,
        state: TradingState,
        sessions: Mapping[str, VenueSession],
        submitter: Submitter,
        *,
        on_signal: Signal[[str, Order]],
        clock: Callable[[], float],
    ) -> None:
        self._strategy, self._state = strategy, state
        self._sessions, self._submitter = sessions, submitter
        self._on_signal, self._clock = on_signal, clock

    async def run(self) -> None:
        """Worker: one step a period, paced by due times so that the rate is kept; never a burst."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            due = max(due + self._strategy.period, clock())
            await asyncio.sleep(due - clock())
            if self._state.refusal:
                continue
            for action in self._strategy.act(self._views()):
                await self._carry_out(action)

    async def _carry_out(self, action: Action) -> None:
        try:
            if isinstance(action, Cancel):
                await self._submitter.cancel(action.venue, action.client_id)
            else:
                self._on_signal.emit(action.venue, action.order)
                self._submitter.submit(action.venue, action.order)
        except RiskRejected as error:
            log.debug("live_loop.risk_rejected", extra={"why": str(error)})
        except OrderError as error:
            log.warning("live_loop.cancel_failed", extra={"why": str(error)})

    def _views(self) -> list[MarketView]:
        views = (
            self._view(session, symbol)
            for session in self._sessions.values()
            if session.reconciled  # of the others the positions aren't known
            for symbol in sorted(session.symbols)
        )
        return [view for view in views if view is not None]

    def _view(self, session: VenueSession, symbol: str) -> MarketView | None:
        quote = session.connector.quote(symbol)
        if quote is None:
            return None
        state = session.oms.state
        resting = tuple(
            r.client_id for r in state.working() if r.order.symbol == symbol and r.final is None
        )
        try:
            steps = session.connector.instrument(symbol)
        except OrderError:
            return None  # the connection was lost since; its supervisor notices
        position = state.positions.get(symbol, ZERO)
        return MarketView(session.name, symbol, self._clock(), quote, steps, position, resting)
