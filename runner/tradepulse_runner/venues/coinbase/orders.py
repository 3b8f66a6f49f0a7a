"""Everything asked about orders, by the venue's ids where they are known."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from tradepulse_runner.domain import Order, OrderRef, VenueOrder
from tradepulse_runner.errors import OrderError, OrderNotFound, OrderRejected, OutcomeUnknown
from tradepulse_runner.venues.coinbase.batch import Batch
from tradepulse_runner.venues.coinbase.known import Known
from tradepulse_runner.venues.coinbase.refusals import create_refusal
from tradepulse_runner.venues.coinbase.rest import Call, Rest
from tradepulse_runner.venues.coinbase.wire import (
    Fill,
    Json,
    Malformed,
    OtherKind,
    fill_from,
    items,
    order_body,
    order_from,
    rfc3339,
    shown,
    text,
)

log = logging.getLogger(__name__)
LIST = "/orders/historical/batch"
FILLS = "/orders/historical/fills"
PAGE = ("limit", "250")
#: Seconds that a fresh order's update may take before it is asked for.
STREAM_PATIENCE = 0.15
#: Seconds between the tries to read an order that was just accepted, or is being cancelled.
TRIES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 0.8, 0.8, 0.8)
#: Seconds before an order was sent that it is searched from: clocks differ.
SEARCH_EARLIER = 120.0
#: Orders that are closed already, or about to be: the order itself is read.
_LOST_RACES = frozenset(
    {
        "UNKNOWN_CANCEL_ORDER",
        "INVALID_CANCEL_REQUEST",
        "DUPLICATE_CANCEL_REQUEST",
        "ORDER_IS_FULLY_FILLED",
        "COMMANDER_REJECTED_CANCEL_ORDER",
    }
)


class Orders:
    """The orders of one account. ``clock`` gives unix seconds."""

    def __init__(self, name: str, rest: Rest, known: Known, *, clock: Callable[[], float]) -> None:
        self._name, self._rest, self._known, self._clock = name, rest, known, clock
        self._cancels = Batch(self._cancel_all, self._unanswered)
        self._lookups = Batch(partial(self._look_up, urgent=False), self._not_found)
        self._settling = Batch(partial(self._look_up, urgent=True), self._not_found)
        self._skipped: set[str] = set()

    async def close(self) -> None:
        await self._cancels.close()
        await self._lookups.close()
        await self._settling.close()

    # -- making ----------------------------------------------------------------------------

    async def place(self, order: Order, client_id: str, *, streaming: bool) -> VenueOrder:
        """Send ``order``; the venue's own account of what it then has under ``client_id``.

        The answer itself doesn't prove that: for a repeated id it is that of the old order, and it
        echoes what was asked. Its state comes from the user stream, or is read.
        """
        call = Call("POST", "/orders", body=order_body(order, client_id), decides=True, urgent=True)
        venue_id = self._accepted(await self._rest.send(call), client_id)
        self._known.name(client_id, venue_id)
        if streaming and (streamed := await self._known.wait_for(venue_id, STREAM_PATIENCE)):
            return streamed
        try:
            return await self._settled(venue_id, lambda _: True)
        except OrderError as error:
            raise OutcomeUnknown(
                f"{self._name}: {client_id} was accepted as {venue_id}, "
                f"but could not be read back: {error}"
            ) from error

    def _accepted(self, answer: Json, client_id: str) -> str:
        success = answer.get("success")
        if success is False:
            raise create_refusal(self._name, answer)
        made = answer.get("success_response")
        if success is not True or not isinstance(made, Mapping):
            raise Malformed(f"{self._name}: neither accepted nor refused: {shown(answer)}")
        if made.get("client_order_id") not in (client_id, None, ""):
            raise Malformed(f"{self._name}: an answer to another order: {shown(made)}")
        return text(made, "order_id")

    # -- asking ----------------------------------------------------------------------------

    async def by_venue_id(self, venue_id: str) -> VenueOrder:
        """Raises :class:`OrderNotFound`."""
        return await self._lookups.ask(venue_id)

    async def fetch(self, ref: OrderRef, *, settled_after: float) -> VenueOrder:
        """The order of ``ref``. Raises :class:`OrderNotFound`: of an order that was accepted only
        ``settled_after`` seconds after it was sent, before that the venue may not show it yet."""
        venue_id = ref.venue_id or self._known.venue_id(ref.client_id)
        if not venue_id:
            return await self._search(ref, urgent=False)
        try:
            return await self.by_venue_id(venue_id)
        except OrderNotFound as error:
            if self._clock() - ref.sent_at < settled_after:
                raise OutcomeUnknown(f"{error} (yet: it was accepted)") from error
            raise

    async def open(self) -> list[VenueOrder]:
        """All orders that may trade. An order moves from the first list to the second: in this
        order of questions it can't slip through between them."""
        waiting = [("order_status", word) for word in ("PENDING", "QUEUED", "CANCEL_QUEUED")]
        orders: dict[str, VenueOrder] = {}
        # "Cannot pair OPEN orders with other order types" (List Orders).
        for statuses in (waiting, [("order_status", "OPEN")]):
            for raw in await self._rest.listed(LIST, [*statuses, PAGE], "orders"):
                if order := self._read(raw):
                    orders[order.venue_id] = order
        return list(orders.values())

    async def owners(self, venue_ids: Iterable[str]) -> Mapping[str, str]:
        """The client ids of orders."""
        known = {v: self._known.client_id(v) for v in venue_ids}
        owned = {v: c for v, c in known.items() if c is not None}
        missing = sorted(known.keys() - owned.keys())
        for start in range(0, len(missing), 50):
            wanted = [("order_ids", venue_id) for venue_id in missing[start : start + 50]]
            for raw in await self._rest.listed(LIST, [*wanted, PAGE], "orders"):
                self._read(raw)
                owned[text(raw, "order_id")] = text(raw, "client_order_id")
        if lacking := [v for v in missing if v not in owned]:
            raise OutcomeUnknown(f"{self._name}: orders {lacking[:3]} have fills but aren't listed")
        return owned

    async def fills(self, start: int | None) -> list[Fill]:
        """Fills from ``start`` (microseconds; 0: all) on; None: the newest page of them."""
        if start is None:
            listed = items(await self._rest.get(FILLS, [PAGE]), "fills")
        else:
            since = [("start_sequence_timestamp", rfc3339(start))] if start else []
            listed = await self._rest.listed(FILLS, [*since, PAGE], "fills")
        return [fill for raw in listed if (fill := fill_from(raw))]

    async def _search(self, ref: OrderRef, *, urgent: bool) -> VenueOrder:
        params = [("product_ids", ref.symbol), PAGE]
        if ref.sent_at:
            start = int((ref.sent_at - SEARCH_EARLIER) * 1e6)
            params.append(("start_date", rfc3339(start)))
        for raw in await self._rest.listed(LIST, params, "orders", urgent=urgent):
            if raw.get("client_order_id") == ref.client_id:
                return self._known.remember(order_from(raw))
        raise OrderNotFound(f"{self._name}: no order of the list is {ref.client_id}")

    async def _look_up(
        self, venue_ids: list[str], *, urgent: bool
    ) -> Mapping[str, VenueOrder | Exception]:
        if len(venue_ids) == 1:
            answer = await self._rest.get(f"/orders/historical/{venue_ids[0]}", urgent=urgent)
            raws = [answer.get("order")]
        else:
            wanted = [("order_ids", venue_id) for venue_id in venue_ids]
            raws = await self._rest.listed(LIST, [*wanted, PAGE], "orders", urgent=urgent)
        answers: dict[str, VenueOrder | Exception] = {}
        for raw in raws:
            try:
                answers[text(raw, "order_id")] = self._known.remember(order_from(raw))
            except OtherKind as error:
                answers[text(raw, "order_id")] = error
        return answers

    def _not_found(self, venue_id: str) -> Exception:
        return OrderNotFound(f"{self._name}: no order is {venue_id}")

    def _read(self, raw: Any) -> VenueOrder | None:
        """None for an order of another's kind: we never made it, and can't describe it."""
        try:
            return self._known.remember(order_from(raw))
        except OtherKind as error:
            if (venue_id := text(raw, "order_id")) not in self._skipped:
                if len(self._skipped) >= 1_000:
                    self._skipped.clear()  # logged once more, rather than kept for ever
                self._skipped.add(venue_id)
                details = {"venue": self._name, "order": venue_id, "why": str(error)}
                log.warning("venue.order_of_another_kind", extra=details)
            return None

    # -- cancelling ------------------------------------------------------------------------

    async def cancel(self, ref: OrderRef) -> VenueOrder:
        """Cancel; the closed order. The answer comes before the order is closed."""
        venue_id = ref.venue_id or self._known.venue_id(ref.client_id)
        if not venue_id:
            current = await self._search(ref, urgent=True)
            if current.status.terminal:
                return current
            venue_id = current.venue_id
        why = await self._cancels.ask(venue_id)
        if why and why not in _LOST_RACES:
            raise OrderRejected(f"{self._name}: {ref.client_id} is not cancelled: {why}")
        return await self._settled(venue_id, lambda order: order.status.terminal, why)

    async def _cancel_all(self, venue_ids: list[str]) -> Mapping[str, str]:
        """Why each was not cancelled; "" if it is going to be."""
        body = json.dumps({"order_ids": venue_ids}).encode()
        answer = await self._rest.send(Call("POST", "/orders/batch_cancel", body=body, urgent=True))
        return {
            text(result, "order_id"): ""
            if result.get("success") is True
            else str(result.get("failure_reason") or "no reason")
            for result in items(answer, "results")
        }

    def _unanswered(self, venue_id: str) -> Exception:
        return OutcomeUnknown(f"{self._name}: no answer to cancelling {venue_id}")

    async def _settled(
        self, venue_id: str, enough: Callable[[VenueOrder], bool], why: str = ""
    ) -> VenueOrder:
        """The order once it is as awaited. Raises :class:`OutcomeUnknown` if that takes long."""
        last = why
        for pause in TRIES:
            await asyncio.sleep(pause)
            try:
                order = await self._settling.ask(venue_id)
            except OrderNotFound as error:
                last = str(error)
                continue
            if enough(order):
                return order
            last = f"still {order.status} {why}"
        raise OutcomeUnknown(f"{self._name}: {venue_id}: {last}")
