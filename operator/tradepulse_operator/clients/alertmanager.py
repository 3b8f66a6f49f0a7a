"""Alertmanager: whether the alert of a drill is routed, and what its receiver took.

Its API reports alerts and of where they go, not of what was delivered: that only its own counters
do (`/metrics`), by integration; by receiver, too, where it runs with the feature
`receiver-name-in-metrics`. Whatever goes wrong is a `problem`, never an empty answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tradepulse_operator.api.spec.drill import DrillAlert
from tradepulse_operator.api.untrusted import LARGEST, parse
from tradepulse_operator.clients.http import bounded, redacted_url
from tradepulse_operator.common.names import KILL_SWITCH_ALERT
from tradepulse_operator.controllers.observed.views import AlertView

TIMEOUT = 2.0
_LARGEST = 4 * 1024 * 1024
_REQUESTS = "alertmanager_notification_requests"
_FAILED = "alertmanager_notification_requests_failed"


class Unclear(Exception):
    """Alertmanager gave no answer that can be relied on; the text says why."""


class Alertmanager:
    """The client of Alertmanager."""

    def __init__(self, session: aiohttp.ClientSession, *, timeout: float = TIMEOUT) -> None:
        self._session = session
        self._seconds = timeout
        self._timeout = aiohttp.ClientTimeout(total=timeout)

    async def observe(self, wanted: DrillAlert, namespace: str, runner: str) -> AlertView:
        """The alert on that runner's kill switch, and the counters of the wanted integration."""
        labels = {
            "alertname": KILL_SWITCH_ALERT,
            "namespace": namespace,
            "tradepulse_io_runner": runner,
        }
        filters = [("filter", f'{name}="{value}"') for name, value in labels.items()]
        url = wanted.alertmanager.rstrip("/")
        try:
            alerts, metrics = await asyncio.gather(
                self._get(f"{url}/api/v2/alerts", filters), self._get(f"{url}/metrics", [])
            )
            return view(alerts, metrics, wanted)
        except Unclear as error:
            return AlertView(problem=f"{redacted_url('Alertmanager', url)} {error}")

    async def _get(self, url: str, params: list[tuple[str, str]]) -> bytes:
        try:
            async with self._session.get(
                url, params=params, timeout=self._timeout, allow_redirects=False
            ) as answer:
                body = await bounded(answer, _LARGEST)
        except TimeoutError as error:
            raise Unclear(f"gave no answer in {self._seconds:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unclear(f"can't be reached: {type(error).__name__}") from error
        if answer.status != 200:
            raise Unclear(f"answered {answer.status}")
        return body


def view(alerts: bytes, metrics: bytes, wanted: DrillAlert) -> AlertView:
    """The two answers as one view. Raises Unclear for one that is malformed."""
    try:
        listed: list[dict[str, Any]] = parse(alerts, _LARGEST)
        active = [one for one in listed if one["status"]["state"] != "unprocessed"]
        names = {str(it["name"]) for one in active for it in one["receivers"]}
        silenced = any(one["status"]["state"] == "suppressed" for one in active)
        counted = _counted(metrics.decode(), wanted)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise Unclear("answered something malformed") from error
    if counted.keys() != {_REQUESTS, _FAILED}:
        raise Unclear(f"counts no notifications of the integration {wanted.integration}")
    refused = counted[_FAILED]
    return AlertView(tuple(sorted(names)), silenced, counted[_REQUESTS] - refused, refused)


def _counted(text: str, wanted: DrillAlert) -> dict[str, int]:
    """Notification requests of the wanted integration by family."""
    counts: dict[str, int] = {}
    for family in text_string_to_metric_families(text):
        if family.name in (_REQUESTS, _FAILED):
            of_it = [s.value for s in family.samples if _is_of(s.labels, wanted)]
            counts |= {family.name: min(LARGEST, int(sum(of_it)))} if of_it else {}
    return counts


def _is_of(labels: Mapping[str, str], wanted: DrillAlert) -> bool:
    receiver = labels.get("receiver_name", wanted.receiver)
    return labels.get("integration") == wanted.integration and receiver == wanted.receiver
