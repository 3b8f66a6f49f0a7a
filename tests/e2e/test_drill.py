"""Scheduled drills of the kill switch on the real cluster: on a rehearsal, and on a live runner,
whose alert real Prometheus and Alertmanager deliver to a fake of PagerDuty's endpoint, or don't."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.e2e import scenario
from tests.support.e2e.alertmanager_relay import beside
from tests.support.e2e.client import API_VERSION, Cluster, Manifest, condition, is_true, wait_for
from tests.support.services.alertmanager.server import Alertmanager

#: The least time to the next full minute that is worth aiming at, in seconds.
AHEAD = 8
LIVE, REHEARSED, UNPAGED = "drilled-live", "rehearsed", "unpaged"
ALERTED = "TradePulseKillSwitchEngaged"


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> Iterator[Alertmanager]:
    """An Alertmanager beside the cluster, alerted by the cluster's Prometheus."""
    with beside(cluster) as found:
        yield found


def _next_minute() -> datetime:
    """A full minute, far enough away to be written to the specs before it comes."""
    found = datetime.now(UTC) + timedelta(seconds=AHEAD)
    return found.replace(second=0, microsecond=0) + timedelta(minutes=1)


def _schedule(cluster: Cluster, name: str, namespace: str, drill: Manifest | None) -> None:
    body = {"spec": {"killSwitchDrill": drill}}
    cluster.patch("TradingRunner", name, namespace, body, API_VERSION)


def _drilled(cluster: Cluster, name: str, namespace: str) -> Manifest:
    def look() -> Manifest | None:
        status = (cluster.runner(name, namespace) or {}).get("status") or {}
        ended = not (status.get("drill") or {}).get("running")
        return status.get("lastDrill") if ended else None

    return wait_for(f"the drill of {name}", look, seconds=180)


def _report(cluster: Cluster, namespace: str, last: Manifest) -> Manifest:
    found = cluster.get("ConfigMap", last["report"], namespace)
    assert found is not None
    return dict(json.loads(found["data"]["report.json"]))


def _uid(cluster: Cluster, name: str, namespace: str) -> str:
    return str((cluster.get("Pod", f"{name}-0", namespace) or {})["metadata"]["uid"])


def test_drills_come_due_verify_and_file_their_reports(
    cluster: Cluster, namespace: str, server: Alertmanager
) -> None:
    for name in (LIVE, REHEARSED):
        cluster.apply(scenario.runner(name, namespace))
    for name in (LIVE, REHEARSED):
        scenario.trading(cluster, name, namespace)
    uids = {name: _uid(cluster, name, namespace) for name in (LIVE, REHEARSED)}
    due = _next_minute()
    at = f"{due.minute} {due.hour} * * *"
    alert = {"alertmanager": server.url, "receiver": "pagerduty"}
    live = {"schedule": at, "target": "Live", "alert": alert}
    _schedule(cluster, LIVE, namespace, live)
    _schedule(cluster, REHEARSED, namespace, {"schedule": at, "target": "Rehearsal"})

    last = _drilled(cluster, LIVE, namespace)
    print(f"live: {time.time() - due.timestamp():.1f} s after it was due: {last['message']}")
    assert (last["result"], last["target"]) == ("Passed", "Live"), last
    told = _report(cluster, namespace, last)
    print(f"shown, in seconds after the order: {told['measures']}")
    assert told["notChecked"] == []
    assert told["checks"] == [
        ["the kill switch is engaged", True],
        ["nothing is left at the venues", True],
        ["every connector is closed to new orders", True],
        ["the metric of the kill switch moves", True],
        ["the alert TradePulseKillSwitchEngaged goes to pagerduty", True],
        ["pagerduty takes its notification by pagerduty", True],
    ]
    # Other tests' runners are watched, too, and may have their kill switch engaged.
    paged = {event["payload"]["group"] for event in server.pager.of(ALERTED)}
    assert LIVE in paged
    assert REHEARSED not in paged

    last = _drilled(cluster, REHEARSED, namespace)
    assert (last["result"], last["target"]) == ("Passed", "Rehearsal"), last
    told = _report(cluster, namespace, last)
    passed = {name for name, good in told["checks"] if good}
    assert {"every connector is disconnected", "the metric of the kill switch moves"} <= passed
    assert len(passed) == len(told["checks"])

    for name in (LIVE, REHEARSED):
        _schedule(cluster, name, namespace, None)
        assert _uid(cluster, name, namespace) == uids[name]
    found = cluster.runner(REHEARSED, namespace)
    assert not is_true(found, "KillSwitch"), condition(found, "KillSwitch")
    assert is_true(found, "TradingEnabled")
    assert is_true(cluster.runner(LIVE, namespace), "KillSwitch")


def test_a_live_drill_fails_when_its_page_is_refused(
    cluster: Cluster, namespace: str, server: Alertmanager
) -> None:
    cluster.apply(scenario.runner(UNPAGED, namespace))
    scenario.trading(cluster, UNPAGED, namespace)
    server.pager.down = True
    due = _next_minute()
    at = f"{due.minute} {due.hour} * * *"
    alert = {"alertmanager": server.url, "receiver": "pagerduty", "within": "40s"}
    _schedule(cluster, UNPAGED, namespace, {"schedule": at, "target": "Live", "alert": alert})
    last = _drilled(cluster, UNPAGED, namespace)
    assert last["result"] == "Failed", last
    assert "were refused or lost so far, none was taken since the order" in last["message"]
    told = _report(cluster, namespace, last)
    assert [name for name, good in told["checks"] if not good] == [
        "pagerduty takes its notification by pagerduty"
    ]
    _schedule(cluster, UNPAGED, namespace, None)
