"""A real Prometheus with the rules of the manifests and a real Alertmanager, and what they wake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.support.runner.process import RunnerProcess, eventually
from tests.support.services.alertmanager.server import Alertmanager
from tests.support.services.prometheus import Prometheus

PATIENCE = 60.0


@dataclass
class Stack:
    """What watches, and what is woken."""

    prometheus: Prometheus
    alertmanager: Alertmanager

    def watch(self, name: str, runner: RunnerProcess) -> RunnerProcess:
        """Scrape it, and only it, from now on; returns once it was."""
        self.scrape(name, runner.ports[1])
        return runner

    def scrape(self, name: str, port: int) -> None:
        """The same with whatever serves metrics at ``port``."""
        self.prometheus.scrape({name: f"127.0.0.1:{port}"})
        self.value(f'up{{tradepulse_io_runner="{name}"}} == 1')

    def value(self, query: str) -> float:
        found = eventually(lambda: self.prometheus.query(query), within=PATIENCE, what=query)
        return float(found[0]["value"][1])

    def fires(self, alert: str, runner: str) -> dict[str, Any]:
        """Wait until that alert on that runner does."""

        def look() -> dict[str, Any] | None:
            return next(iter(self.firing(alert, runner)), None)

        return eventually(look, within=PATIENCE, what=f"{alert} of {runner}")

    def firing(self, alert: str, runner: str) -> list[dict[str, Any]]:
        wanted = {"alertname": alert, "namespace": "live", "tradepulse_io_runner": runner}
        return [one for one in self.prometheus.alerts() if wanted.items() <= one["labels"].items()]

    def paged(self, alert: str, runner: str, action: str = "trigger") -> dict[str, Any]:
        """Wait for the event that PagerDuty gets of it."""

        def look() -> dict[str, Any] | None:
            found = self.alertmanager.pager.of(alert, action)
            return next((e for e in found if e["payload"]["group"] == runner), None)

        return eventually(look, within=PATIENCE, what=f"{action} of {alert} on {runner}")

    def over(self, alert: str, runner: str) -> None:
        """Wait until it fires no more."""
        eventually(lambda: not self.firing(alert, runner), within=PATIENCE, what=f"{alert}'s end")

    def ticketed(self, alert: str, runner: str, status: str = "firing") -> dict[str, Any]:
        """Wait for what the webhook of working hours gets of it; ``status``: or "resolved"."""
        wanted = {"alertname": alert, "tradepulse_io_runner": runner}

        def look() -> dict[str, Any] | None:
            told = [one for body in self.alertmanager.pager.tickets for one in body["alerts"]]
            fits = (t for t in told if wanted.items() <= t["labels"].items())
            return next((one for one in fits if one["status"] == status), None)

        return eventually(look, within=PATIENCE, what=f"{alert} on {runner}, {status}")
