"""How Prometheus finds a runner."""

from __future__ import annotations

from pydantic import Field

from tradepulse_operator.api.base import Model
from tradepulse_operator.api.units import Duration, Labels


class Monitoring(Model):
    """How Prometheus finds the runner."""

    scrape_interval: Duration = Field(default="15s", description="Interval of the ServiceMonitor.")
    labels: Labels = Field(
        default={},
        description="Labels of the ServiceMonitor, as your Prometheus selects them.",
    )
