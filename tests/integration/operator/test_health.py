"""Probes: each thing that hangs inside is said, and nothing that hangs outside."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from tests.support.fakes.clock import FakeClock
from tradepulse_operator.manager.health import Health
from tradepulse_operator.manager.metrics import Metrics


def health(age: float = 0, watch: float = 0, ready: bool = True) -> Health:
    return Health(
        FakeClock(),
        Metrics(),
        age=lambda: age,
        depth=lambda: 3,
        watch=lambda: watch,
        ready=lambda: ready,
    )


@pytest.mark.parametrize(
    ("readings", "says"),
    [({}, ""), ({"age": 181}, "queue doesn't move"), ({"watch": 61}, "watch missed an event")],
)
def test_what_is_wrong_is_said(readings: dict[str, Any], says: str) -> None:
    found = health(**readings).wrong()
    assert (says in found) if says else not found


async def test_the_endpoints() -> None:
    async with aiohttp.ClientSession() as session:
        async with TestServer(health().app()) as server:
            assert (await session.get(server.make_url("/healthz"))).status == 200
            assert (await session.get(server.make_url("/readyz"))).status == 200
            text = await (await session.get(server.make_url("/metrics"))).text()
            assert "tradepulse_operator_queue_depth 3.0" in text
        async with TestServer(health(watch=99, ready=False).app()) as server:
            answer = await session.get(server.make_url("/healthz"))
            assert answer.status == 503
            assert "watch" in await answer.text()
            assert (await session.get(server.make_url("/readyz"))).status == 503
