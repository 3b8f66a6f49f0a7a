"""A venue as a process of its own, driven through its back door."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.venues.keyfile import read_keys
from tests.support_tests.venues.binance_fixtures import KEY, SECRET, hmac_of

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Running:
    process: asyncio.subprocess.Process
    rest_url: str
    http: aiohttp.ClientSession

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.http.request(
            method, self.rest_url + path, json=body, headers={"X-MBX-APIKEY": KEY}
        ) as response:
            return response.status, await response.json()

    async def order(self, client_id: str) -> tuple[int, Any]:
        _, told = await self.ask("GET", "/api/v3/time")
        query = (
            "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=50000"
            f"&newClientOrderId={client_id}&timestamp={told['serverTime']}"
        )
        return await self.ask("POST", f"/api/v3/order?{query}&signature={hmac_of(query)}")


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps([{"api_key": KEY, "secret": SECRET, "account": "mine"}]))
    arguments = ["binance", "--port", "0", "--interval", "0", "--keys", str(keys)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.venues",
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    urls: dict[str, str] = {}
    while (line := (await process.stdout.readline()).decode().strip()) != "ready":
        assert line, "it ended before it was ready"
        what, _, url = line.removeprefix("binance ").partition(": ")
        urls[what] = url
    async with aiohttp.ClientSession() as http:
        yield Running(process, urls["rest_url"], http)
    if process.returncode is None:
        process.kill()
        await process.wait()


async def test_a_process_serves_and_tells_the_truth_and_ends(running: Running) -> None:
    assert (await running.order("a"))[0] == 200
    status, venue_state = await running.ask("GET", "/_kit/venue_state?account=mine")
    assert status == 200
    assert [(o["client_id"], o["status"], o["price"]) for o in venue_state["orders"]] == [
        ("a", "NEW", "50000")
    ]
    assert venue_state["balances"]["USDT"] == {"free": "999500.00", "locked": "500.00"}
    _, requests = await running.ask("GET", "/_kit/requests")
    assert [entry["client_id"] for entry in requests if entry["method"] == "POST"] == ["a"]
    running.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(running.process.wait(), 20) == 0


async def test_faults_and_the_market_from_outside(running: Running) -> None:
    assert (await running.ask("POST", "/_kit/faults", {"on": "place", "kind": "ban"}))[0] == 200
    assert (await running.order("a"))[0] == 418
    _, faults = await running.ask("GET", "/_kit/faults")
    assert (faults["pending"], faults["fired"][0]["kind"]) == ([], "ban")
    await running.ask("POST", "/_kit/faults", [{"on": "any", "kind": "throttle", "times": -1}])
    await running.ask("DELETE", "/_kit/faults")
    assert (await running.order("b"))[0] == 200
    moved = {"symbol": "BTCUSDT", "price": "49000"}
    assert (await running.ask("POST", "/_kit/crowd", moved))[0] == 200
    _, venue_state = await running.ask("GET", "/_kit/venue_state?account=mine")
    assert [order["status"] for order in venue_state["orders"]] == ["FILLED"]
    assert sum(float(fill["quantity"]) for fill in venue_state["fills"]) == 0.01
    assert (await running.ask("POST", "/_kit/clock", {"skew": 3600}))[0] == 200
    assert (await running.order("c"))[0] == 200, "it signs the venue's time"


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("faults", {"on": "place", "kind": "hiccup"}, "throttle"),
        ("faults", {"on": "place"}, "kind"),
        ("faults", 7, "fault"),
        ("crowd", {"symbol": "NOPE", "price": "1"}, "BTCUSDT"),
        ("crowd", {"symbol": "BTCUSDT", "price": "much"}, "much"),
        ("clock", {"skew": "much"}, "much"),
    ],
)
async def test_what_cannot_be_is_answered_with_a_sentence(
    running: Running, path: str, body: Any, named: str
) -> None:
    status, answer = await running.ask("POST", f"/_kit/{path}", body)
    assert status == 400
    assert named in answer["error"]


@pytest.mark.parametrize("content", ["{", "[{}]", '[{"api_key": "a", "wish": "s3cret"}]', "7"])
def test_a_bad_key_file_is_named_and_not_quoted(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="api_key") as refused:
        read_keys(path)
    assert str(path) in str(refused.value)
    assert "s3cret" not in str(refused.value)
