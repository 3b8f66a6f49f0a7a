"""Answers that a venue should never give, and what is made of them: nothing is proven by them."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from tests.support.runner.venues.coinbase_fixtures import buy, store
from tests.support.runner.venues.scripted import Scripted, scripted
from tests.support.venues.coinbase.keys import make_ed25519
from tradepulse_runner.domain import OrderRef
from tradepulse_runner.errors import OrderRejected, OutcomeUnknown
from tradepulse_runner.venues.coinbase.known import Known
from tradepulse_runner.venues.coinbase.orders import Orders
from tradepulse_runner.venues.coinbase.rest import Rest

ORDERS = "/api/v3/brokerage/orders"


@contextlib.asynccontextmanager
async def asking(*answers: Any) -> AsyncIterator[tuple[Orders, Rest, Scripted]]:
    """``answers``: JSON, or a response; the last one is given again and again."""
    told = itertools.chain(answers, itertools.repeat(answers[-1]))

    async def script(_request: web.Request) -> web.StreamResponse:
        answer = next(told)
        if isinstance(answer, web.HTTPException):
            raise answer
        if isinstance(answer, web.Response):  # one serves one request
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        return web.json_response(answer)

    async with scripted() as server:
        server.script = script
        rest = Rest("cb", server.url, store(make_ed25519()), token_lifetime=15)
        rest.open()
        orders = Orders("cb", rest, Known(), clock=time.time)
        try:
            yield orders, rest, server
        finally:
            await orders.close()
            await rest.close()


def made(**changes: Any) -> dict[str, Any]:
    whole = {"order_id": "v-1", "client_order_id": "tp-1", "product_id": "BTC-USD", "side": "BUY"}
    return {"success": True, "success_response": {**whole, **changes}}


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(text="<html>welcome</html>", content_type="text/html"),
        web.Response(text=""),
        web.Response(body=b"\xff\xfe{", content_type="application/json", charset="utf-8"),
        web.HTTPTemporaryRedirect("/api/v3/brokerage/elsewhere"),
        [],
        "yes",
        {},
        {"success": "true"},
        {"success": True},
        {"success": True, "success_response": None},
        made(order_id=""),
        made(order_id=7),
        made(client_order_id="tp-2"),
    ],
    ids=lambda answer: type(answer).__name__,
)  # fmt: skip
async def test_an_order_whose_answer_makes_no_sense_may_be_live(answer: Any) -> None:
    async with asking(answer) as (orders, _rest, server):
        with pytest.raises(OutcomeUnknown):
            await orders.place(buy(), "tp-1", streaming=False)
        assert server.seen == [("POST", ORDERS)]  # once, and not where it was sent on to


async def test_an_accepted_order_that_cannot_be_read_back_may_be_live(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tradepulse_runner.venues.coinbase.orders.TRIES", (0.0, 0.0))
    gone = web.Response(status=404, text="{}")
    async with asking(made(), gone) as (orders, _rest, server):
        with pytest.raises(OutcomeUnknown, match="tp-1 was accepted as v-1"):
            await orders.place(buy(), "tp-1", streaming=False)
        assert [method for method, _ in server.seen] == ["POST", "GET", "GET"]


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        ({"success": False, "failure_reason": "NOT_ALLOWED_TO_CANCEL"}, OrderRejected),
        ({"success": False}, OrderRejected),
        ({"success": False, "failure_reason": "UNKNOWN_CANCEL_FAILURE_REASON"}, OrderRejected),
        ({"success": True, "order_id": "v-2"}, OutcomeUnknown),  # of another one
    ],
)
async def test_a_cancel_that_was_not_granted(result: dict[str, Any], kind: type[Exception]) -> None:
    async with asking({"results": [{"order_id": "v-1", **result}]}) as (orders, _rest, server):
        with pytest.raises(kind):
            await orders.cancel(OrderRef("tp-1", "BTC-USD", "v-1"))
        assert len(server.seen) == 1


async def test_a_list_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradepulse_runner.venues.coinbase.rest.MAX_PAGES", 3)
    pages = [{"things": [n], "cursor": str(n)} for n in range(9)]
    async with asking(*pages) as (_orders, rest, server):
        with pytest.raises(OutcomeUnknown, match="more than 3 pages"):
            await rest.listed("/things", (), "things")
        assert len(server.seen) == 3


@pytest.mark.parametrize(
    "pages",
    [
        [{"things": [1], "cursor": "a", "has_next": True}, {"things": [2], "has_next": False}],
        [{"things": [1], "cursor": "a"}, {"things": [2], "cursor": ""}],
        [{"things": [1], "cursor": "a"}, {"things": [2], "cursor": "a"}],
        [{"things": [1, 2], "cursor": "a", "has_next": False}],
        [{"things": [1, 2]}],
    ],
)
async def test_the_ways_in_which_a_list_ends(pages: list[dict[str, Any]]) -> None:
    async with asking(*pages) as (_orders, rest, server):
        assert await rest.listed("/things", (), "things") == [1, 2]
        assert len(server.seen) == len(pages)
