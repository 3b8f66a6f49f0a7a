"""From a real fault of a real runner to the page: Prometheus and Alertmanager are real, PagerDuty's
endpoint is a fake."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.runner.alerting_fixtures import PATIENCE, Stack
from tests.support.runner.credentials_fixtures import pair, write
from tests.support.runner.process import ROOT, RunnerProcess, cli
from tests.support.services.alertmanager.pagerduty import problem
from tests.support.services.alertmanager.server import ROUTING_KEY
from tests.support.services.process import Child
from tests.support.services.service import free_port
from tradepulse_operator.api.spec.drill import DrillAlert
from tradepulse_operator.clients.alertmanager import Alertmanager as OfAlertmanager
from tradepulse_operator.clients.prometheus import Prometheus as OfPrometheus
from tradepulse_operator.clients.runner_status import Process as OfProcess
from tradepulse_operator.controllers.observed.views import AlertView, MetricView, ProcessView
from tradepulse_operator.guard.promql import Endpoint

Make = Callable[..., RunnerProcess]


def watched(make: Make, **config: Any) -> RunnerProcess:
    return make(metrics={"port": free_port()}, **config)


def test_an_engaged_kill_switch_pages_at_once_and_a_reset_resolves(
    make: Make, stack: Stack
) -> None:
    runner = stack.watch("stopped", watched(make).start())
    runner.trade(3)
    asked = time.time()
    runner.command("kill-switch", "drill: due now")
    event = stack.paged("TradePulseKillSwitchEngaged", "stopped")
    print(f"from the order to the page: {time.time() - asked:.2f} s")
    assert (event["routing_key"], event["event_action"]) == (ROUTING_KEY, "trigger")
    assert event["dedup_key"]
    payload = event["payload"]
    assert payload["summary"] == "The kill switch of live/stopped is engaged"
    assert (payload["severity"], payload["class"]) == ("critical", "TradePulseKillSwitchEngaged")
    (link,) = event["links"]
    assert link["href"].endswith("/runbooks/TradePulseKillSwitchEngaged.md")
    assert (ROOT / "docs" / "runbooks" / link["href"].rsplit("/", 1)[-1]).is_file()
    assert stack.firing("TradePulseScrapeFailing", "stopped") == []
    runner.command("kill-switch", "")
    runner.beats()
    state = ("--state-dir", str(runner.state_dir))
    done = cli("kill-switch", "reset", *state, "--by", "ada", "--reason", "the drill is over")
    assert done.exit_code == 0, done.output
    resolved = stack.paged("TradePulseKillSwitchEngaged", "stopped", "resolve")
    assert resolved["dedup_key"] == event["dedup_key"]


async def test_the_operators_drill_sees_connectors_metric_alert_and_page(
    make: Make, stack: Stack
) -> None:
    """What a live drill looks at, at the very services: before the order, and after it."""
    runner = stack.watch("drilled", watched(make).start())
    runner.trade(3)
    address = {"alertmanager": stack.alertmanager.url, "receiver": "pagerduty"}
    wanted = DrillAlert.model_validate(address)
    endpoint, (port, _) = Endpoint(stack.prometheus.url), runner.ports
    async with aiohttp.ClientSession() as session:

        async def look() -> tuple[MetricView, AlertView, ProcessView | None]:
            return await asyncio.gather(
                OfPrometheus(session).engaged(endpoint, "live", "drilled", time.time()),
                OfAlertmanager(session).observe(wanted, "live", "drilled"),
                OfProcess(session, port=port).status("127.0.0.1"),
            )

        metric, before, process = await look()
        assert (metric, before.receivers) == (MetricView(), ())
        assert process is not None
        assert process.open_venues == ("paper",)
        asked = time.time()
        runner.command("kill-switch", "drill: due now")
        end = time.monotonic() + PATIENCE
        while True:
            metric, after, process = await look()
            closed = process is not None and process.kill_switch and process.open_venues == ()
            if closed and metric.engaged_at and after.receivers and after.taken > before.taken:
                break
            assert time.monotonic() < end, (metric, after, process)
            await asyncio.sleep(0.1)
    assert metric.engaged_at >= asked
    assert after.receivers == ("pagerduty",)
    stack.paged("TradePulseKillSwitchEngaged", "drilled")


def test_a_runner_that_cannot_be_scraped_pages_until_it_can(make: Make, stack: Stack) -> None:
    runner = stack.watch("silent", watched(make).start())
    runner.kill()
    assert stack.value('up{tradepulse_io_runner="silent"} == 0') == 0
    told = stack.fires("TradePulseScrapeFailing", "silent")
    assert told["annotations"]["summary"] == "Prometheus can't scrape live/silent"
    event = stack.paged("TradePulseScrapeFailing", "silent")
    runner.start()
    resolved = stack.paged("TradePulseScrapeFailing", "silent", "resolve")
    assert resolved["dedup_key"] == event["dedup_key"]


def test_a_corrupt_snapshot_pages_though_the_runner_trades_on(make: Make, stack: Stack) -> None:
    runner = watched(make)
    for _ in range(2):  # two generations
        runner.start().trade(3)
        assert runner.end() == 0
    snapshot = runner.state_dir / "paper_oms.json"
    snapshot.write_bytes(b"\0" * len(snapshot.read_bytes()))
    stack.watch("damaged", runner.start())
    told = stack.fires("TradePulseSnapshotCorrupt", "damaged")
    assert told["labels"]["venue"] == "paper"
    stack.paged("TradePulseSnapshotCorrupt", "damaged")
    assert list((runner.state_dir / "incidents" / "quarantine").iterdir())
    runner.trade(3)
    assert stack.firing("TradePulseKillSwitchEngaged", "damaged") == []


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """Binance's protocol in a process of its own: the folder with its keys, and its urls."""
    keys, log = tmp_path / "keys", tmp_path / "venue.log"
    words = [sys.executable, "-m", "tests.support.venues", "binance", "--interval", "0.2"]
    child = Child([*words, "--credentials", keys], log, cwd=ROOT)
    try:
        child.wait_until(lambda: "ready" in log.read_text().splitlines(), "the venue")
        lines = [line.split() for line in log.read_text().splitlines()]
        urls = {
            words[1].rstrip(":"): words[2] for words in lines if words[1:2] and "_url" in words[1]
        }
        yield keys, urls
    finally:
        child.stop()


def test_a_key_that_is_not_the_venues_pages_and_stops_the_runner(
    make: Make, stack: Stack, venue: tuple[Path, dict[str, str]]
) -> None:
    keys, urls = venue
    spot = {
        "name": "spot",
        "connector": "binance",
        "symbols": ["BTCUSDT"],
        "credentials_dir": str(keys),
        "options": urls,
    }
    loop = {"heartbeat_interval": 0.1, "fill_poll_interval": 0.2, "credential_interval": 0.2}
    runner = stack.watch("mismatched", watched(make, venues=[spot], loop=loop).start())
    runner.trade(2)
    assert stack.firing("TradePulseCredentialMismatch", "mismatched") == []
    write(keys, pair(666))
    told = stack.fires("TradePulseCredentialMismatch", "mismatched")
    assert told["labels"]["venue"] == "spot"
    stack.paged("TradePulseCredentialMismatch", "mismatched")
    stack.paged("TradePulseKillSwitchEngaged", "mismatched")
    assert runner.status()["kill_switch"]["engaged"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, ""),
        ({"routing_key": "other"}, "routing_key"),
        ({"event_action": "trigge"}, "event_action"),
        ({"event_action": "resolve", "dedup_key": ""}, "dedup_key"),
        ({"payload": {"summary": "s", "source": "x"}}, "severity"),
        ({"payload": {"source": "x", "severity": "error"}}, "summary"),
        ({"payload": {"summary": "s", "severity": "error"}}, "source"),
    ],
)
def test_the_fake_refuses_what_pagerduty_refuses(change: dict[str, Any], why: str) -> None:
    payload = {"summary": "s", "source": "x", "severity": "critical"}
    event = {"routing_key": ROUTING_KEY, "event_action": "trigger", "dedup_key": "k"}
    found = problem({**event, "payload": payload, **change}, ROUTING_KEY)
    assert found.startswith((why, f"payload.{why}")) if why else found == ""
