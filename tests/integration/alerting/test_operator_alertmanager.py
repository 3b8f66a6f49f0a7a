"""The real Alertmanager: what it tells of an alert, and of pages that were taken or refused."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from tests.support.cluster.progress import Progress
from tests.support.runner.process import eventually
from tests.support.services.alertmanager.server import Alertmanager as Server
from tradepulse_operator.api.spec.drill import DrillAlert
from tradepulse_operator.clients.alertmanager import Alertmanager
from tradepulse_operator.common.names import KILL_SWITCH_ALERT
from tradepulse_operator.controllers.observed.views import AlertView


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server()
    with Progress().step("Alertmanager") as step:
        found.install(step)
    try:
        found.start(tmp_path_factory.mktemp("alertmanager"))
        yield found
    finally:
        found.stop()


def fire(server: Server, runner: str) -> None:
    labels = {"alertname": KILL_SWITCH_ALERT, "namespace": "live", "tradepulse_io_runner": runner}
    labels |= {"severity": "critical"}
    now = datetime.now(UTC)
    body = {
        "labels": labels,
        "annotations": {"summary": "engaged"},
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(minutes=5)).isoformat(),
    }
    asked = urllib.request.Request(
        f"{server.url}/api/v2/alerts",
        json.dumps([body]).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=5) as answer:
        assert answer.status == 200


def wanted(url: str, **more: str) -> DrillAlert:
    return DrillAlert.model_validate({"alertmanager": url, "receiver": "pagerduty", **more})


async def look(alert: DrillAlert, runner: str) -> AlertView:
    async with aiohttp.ClientSession() as session:
        return await Alertmanager(session).observe(alert, "live", runner)


async def test_an_alert_is_routed_and_its_page_is_counted_once_it_was_taken(
    server: Server,
) -> None:
    before = await look(wanted(server.url), "taken")
    assert (before.problem, before.receivers) == ("", ())
    fire(server, "taken")
    eventually(lambda: server.pager.of(KILL_SWITCH_ALERT), within=20, what="the page")
    after = await counted(server, "taken", lambda found: found.taken > before.taken)
    assert after == AlertView(("pagerduty",), False, before.taken + 1, before.refused)
    assert (await look(wanted(server.url), "another")).receivers == ()


async def test_a_page_that_is_refused_is_not_one_that_was_taken(server: Server) -> None:
    before = await look(wanted(server.url), "refused")
    server.pager.down = True
    try:
        fire(server, "refused")
        after = await counted(
            server,
            "refused",
            # Alertmanager counts a failure first, and the request that failed a moment later.
            lambda found: found.refused > before.refused and found.taken >= before.taken,
        )
    finally:
        server.pager.down = False
    assert after.receivers == ("pagerduty",)
    assert after.taken == before.taken


async def counted(server: Server, runner: str, so: Callable[[AlertView], bool]) -> AlertView:
    """Wait until Alertmanager counts it."""
    end = time.monotonic() + 20
    while not so(found := await look(wanted(server.url), runner)):
        assert time.monotonic() < end, found
        await asyncio.sleep(0.05)
    return found


async def test_whatever_goes_wrong_is_said(server: Server) -> None:
    away = await look(wanted("http://127.0.0.1:1"), "any")
    assert away.problem.startswith("Alertmanager at http://127.0.0.1:1 can't be reached")
    other = await look(wanted(f"{server.url}/nowhere"), "any")
    assert "answered 404" in other.problem
    unknown = await look(wanted(server.url, integration="carrierpigeon"), "any")
    assert "counts no notifications of the integration carrierpigeon" in unknown.problem
