"""Scheduled drills of the kill switch on the real cluster: on a rehearsal, and on a live runner,
whose alert Prometheus then fires."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

from tests.e2e import environment, scenario
from tests.e2e.client import API_VERSION, Cluster, Manifest, condition, is_true, wait_for

#: The least time to the next full minute that is worth aiming at, in seconds.
AHEAD = 8
LIVE, REHEARSED = "drilled-live", "rehearsed"
ALERT = 'ALERTS{alertname="TradePulseKillSwitchEngaged",alertstate="firing"}'


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


def test_drills_come_due_verify_and_file_their_reports(cluster: Cluster, namespace: str) -> None:
    for name in (LIVE, REHEARSED):
        cluster.apply(scenario.runner(name, namespace))
    for name in (LIVE, REHEARSED):
        scenario.trading(cluster, name, namespace)
    uids = {name: _uid(cluster, name, namespace) for name in (LIVE, REHEARSED)}
    due = _next_minute()
    at = f"{due.minute} {due.hour} * * *"
    for name, target in ((LIVE, "Live"), (REHEARSED, "Rehearsal")):
        _schedule(cluster, name, namespace, {"schedule": at, "target": target})

    last = _drilled(cluster, LIVE, namespace)
    print(f"live: {time.time() - due.timestamp():.1f} s after it was due: {last['message']}")
    assert (last["result"], last["target"]) == ("Passed", "Live"), last
    assert _report(cluster, namespace, last)["passed"]
    series = f'{ALERT[:-1]},namespace="{namespace}",tradepulse_io_runner="{LIVE}"}}'
    wait_for("the alert to fire", lambda: environment.prometheus_query(series), seconds=90)
    print(f"alert: {time.time() - due.timestamp():.1f} s after it was due")

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
