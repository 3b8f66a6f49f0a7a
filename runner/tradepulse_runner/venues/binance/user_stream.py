"""What happens to the account, as it happens: the WebSocket API's user data stream.

``user-data-stream.md`` and ``web-socket-api.md``, ``userDataStream.subscribe.signature``.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from tradepulse_runner.domain import Trade, VenueEvent
from tradepulse_runner.errors import CredentialsRefused, OrderError, VenueDisconnected
from tradepulse_runner.venues.binance.refusals import TimestampRefused
from tradepulse_runner.venues.binance.rest import Rest
from tradepulse_runner.venues.binance.sockets import Socket, Stream, open_socket
from tradepulse_runner.venues.binance.trades import Owners
from tradepulse_runner.venues.binance.wire import Fees, Malformed, report_from

log = logging.getLogger(__name__)
SUBSCRIBE_TIMEOUT = 5.0
#: Seconds that the stream may lag behind the trade list.
LAG = 2.0
REMEMBERED = 10_000


class UserStream(Stream):
    """Calls ``emit`` with every order and trade; polling brings what the stream skipped.

    A connection can answer pings and send no events: :meth:`compare` with polled trades replaces
    it.
    """

    def __init__(
        self,
        name: str,
        rest: Rest,
        url: str,
        owners: Owners,
        fees: Fees,
        *,
        emit: Callable[[VenueEvent], None],
        lost: Callable[[str], None],
    ) -> None:
        super().__init__(f"{name}-user", self._subscribe, self._process, lost, forever=False)
        self._rest, self._url = rest, url
        self._owners, self._fees, self._emit = owners, fees, emit
        self._streamed: OrderedDict[str, None] = OrderedDict()
        self._listens_since = rest.clock.now()

    def compare(self, trades: Iterable[Trade]) -> None:
        """``trades`` were read from the venue: replace the connection if the stream should have
        brought one of them."""
        now = self._rest.clock.now()
        for trade in trades:
            due = self._listens_since < trade.timestamp < now - LAG
            if due and trade.trade_id not in self._streamed:
                self._listens_since = now  # one replacement for all that is missing so far
                self.renew(f"trade {trade.trade_id} was not streamed")
                return

    async def _subscribe(self) -> Socket:
        socket = await open_socket(self._rest, self._url)
        try:
            await self._log_on(socket)
        except BaseException:
            await socket.close()
            raise
        return socket

    async def _log_on(self, socket: Socket) -> None:
        params, used = self._rest.sign_socket({})
        try:
            await self._ask(socket, params)
        except CredentialsRefused:
            if not self._rest.newer_than(used):
                raise
            await self._ask(socket, self._rest.sign_socket({})[0])
        except TimestampRefused:
            await self._rest.measure()
            await self._ask(socket, self._rest.sign_socket({})[0])

    async def _ask(self, socket: Socket, params: dict[str, str]) -> None:
        # Numbers as numbers: the documented examples have them so, the signature reads the same.
        numbers = {name: int(params[name]) for name in ("timestamp", "recvWindow")}
        request = {
            "id": "subscribe",
            "method": "userDataStream.subscribe.signature",
            "params": {**params, **numbers},
        }
        async with asyncio.timeout(SUBSCRIBE_TIMEOUT):
            await socket.send_json(request)
            while True:
                answer = await self._next(socket)
                if answer.get("id") == "subscribe":
                    break
                self._process(answer)
        if answer.get("status") != 200:
            raise self._why(answer)

    async def _next(self, socket: Socket) -> dict[str, Any]:
        try:
            answer = json.loads(await socket.receive_str(), parse_float=Decimal)
        except (TypeError, ValueError):  # closed, or not a text
            answer = None
        if not isinstance(answer, dict):
            raise VenueDisconnected(f"{self.name}: closed before it was subscribed")
        return answer

    def _why(self, answer: dict[str, Any]) -> OrderError:
        status = answer.get("status")
        text = json.dumps(answer.get("error"), default=str)
        return self._rest.refused(status if isinstance(status, int) else 0, text, {})

    def _process(self, message: Any) -> None:
        event = message.get("event") if isinstance(message, dict) else None
        if not isinstance(event, dict):
            return
        kind = event.get("e")
        if kind == "executionReport":
            self._report(event)
        elif kind == "serverShutdown":
            self.renew("the server announced its shutdown")
        elif kind == "eventStreamTerminated":
            raise VenueDisconnected("the venue ended the subscription")

    def _report(self, event: dict[str, Any]) -> None:
        try:
            order, trade = report_from(event, self._fees)
        except Malformed as error:
            # Another's order may be of a kind that can't be shown; ours is read by polling.
            log.warning("stream.unreadable", extra={"stream": self.name, "why": str(error)})
            return
        self._owners.remember(order)
        if trade is not None:
            self._note(trade)
            self._emit(trade)
        self._emit(order)

    def _note(self, trade: Trade) -> None:
        self._streamed[trade.trade_id] = None
        if len(self._streamed) > REMEMBERED:
            self._streamed.popitem(last=False)
