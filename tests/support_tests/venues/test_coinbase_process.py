"""The venue as a process of its own, and the door through which a test reaches it there."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.venues.coinbase.keys import make_es256
from tests.support_tests.venues.coinbase_fixtures import Client, client_of, limit, quiet_venue


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with quiet_venue() as venue, client_of(venue) as client:
        yield client


async def kit(client: Client, method: str, path: str, body: Any = None) -> Any:
    url = f"{client.venue.rest_url}/_kit{path}"
    async with client.http.request(method, url, json=body) as response:
        return await response.json()


async def test_the_door_tells_the_truth_and_takes_faults(client: Client) -> None:
    await kit(client, "POST", "/faults", {"on": "place", "kind": "error_after_accept"})
    assert (await client.call("POST", "/orders", limit("mine")))[0] == 500
    venue_state = await kit(client, "GET", "/venue_state?account=runner")
    assert [order["client_id"] for order in venue_state["orders"]] == ["mine"]
    assert Decimal(venue_state["balances"]["USD"]["locked"]) == Decimal("5004.4995")
    (noted,) = await kit(client, "GET", "/requests")
    assert (noted["method"], noted["client_id"]) == ("POST", "mine")
    await kit(client, "POST", "/clock", {"skew": 300})
    assert (await client.call("GET", "/accounts"))[0] == 401


async def test_a_process_of_its_own(tmp_path: Path) -> None:
    pair = make_es256()
    keys = tmp_path / "keys.json"
    entry = {"api_key": pair.name, "account": "runner", "public_key_pem": pair.public_key_pem}
    keys.write_text(json.dumps([entry]))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.venues", "coinbase", "--keys", str(keys),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        urls = {}
        for _ in range(3):
            _, name, url = (await process.stdout.readline()).decode().split()
            urls[name] = url
        async with aiohttp.ClientSession() as http:
            client = Client(urls["rest_url:"], pair, http)
            order_id = await client.place(limit("mine", price="40000"))
            async with client.stream("user", url=urls["ws_user_url:"]) as stream:
                (order,) = (await stream.hear_on("user"))["events"][0]["orders"]
        assert order["order_id"] == order_id
    finally:
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
