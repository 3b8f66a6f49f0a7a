"""Prometheus with the alert rules of the manifests, scraping what a test tells it to."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.cluster.progress import Progress, Step
from tests.support.cluster.settings import Paths
from tests.support.images import prometheus
from tests.support.services.process import Child, answers
from tests.support.services.service import LOOPBACK, free_port

RULES = Paths.default().root / "manifests" / "monitoring" / "prometheusrule.yaml"
#: Between two scrapes and two looks at the rules; and what `for` and `keep_firing_for` become.
PACE, PATIENCE = "250ms", "1s"
#: Patience that a rule has in its expression, and what becomes of it.
IMPATIENT = {"TradePulseDatabaseBehind": ("> 300", "> 2")}


class Prometheus:
    """One server. ``alertmanager``: its URL, "" for none. ``pace``: between two scrapes."""

    name = "prometheus"

    def __init__(self, alertmanager: str = "", pace: str = PACE) -> None:
        self._alertmanager, self._pace = alertmanager, pace
        self._child: Child | None = None
        self._targets = Path()
        self.url = ""

    def install(self, step: Step) -> None:
        prometheus.ensure(Paths.default(), Progress())

    def start(self, folder: Path, host: str = LOOPBACK) -> Mapping[str, str]:
        folder.mkdir(parents=True, exist_ok=True)
        self._targets = folder / "targets.json"
        self.scrape({})
        (folder / "rules.yaml").write_text(yaml.safe_dump(hasty_rules()))
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(self._config(folder)))
        port = free_port(host)
        self.url = f"http://{host}:{port}"
        self._child = Child(
            [
                prometheus.ensure(Paths.default(), Progress()) / prometheus.PROGRAM,
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={host}:{port}",
            ],
            folder / "prometheus.log",
        )
        self._child.wait_until(lambda: answers(f"{self.url}/-/ready"), self.name)
        return {"PROMETHEUS_URL": self.url}

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()

    def scrape(self, runners: Mapping[str, str]) -> None:
        """From now on these: runner → HOST:PORT, or HOST:PORT/PATH. With the labels that its
        ServiceMonitor gives."""
        found = [_target(name, *at.partition("/")) for name, at in runners.items()]
        draft = self._targets.with_suffix(".part")
        draft.write_text(json.dumps(found))
        draft.rename(self._targets)

    def query(self, text: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        words = urllib.parse.urlencode({"query": text})
        return list(self._get(f"query?{words}")["result"])

    def alerts(self, state: str = "firing") -> list[dict[str, Any]]:
        """Alerts in that state, with labels and annotations."""
        return [one for one in self._get("alerts")["alerts"] if one["state"] == state]

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}", timeout=10) as answer:
            return json.load(answer)["data"]

    def _config(self, folder: Path) -> dict[str, Any]:
        found: dict[str, Any] = {
            "global": {
                "scrape_interval": self._pace,
                "scrape_timeout": self._pace,
                "evaluation_interval": self._pace,
            },
            "rule_files": [str(folder / "rules.yaml")],
            "scrape_configs": [
                {
                    "job_name": "runners",
                    "file_sd_configs": [{"files": [str(self._targets)], "refresh_interval": "1s"}],
                }
            ],
        }
        if self._alertmanager:
            target = self._alertmanager.removeprefix("http://")
            managers = [{"static_configs": [{"targets": [target]}]}]
            found["alerting"] = {"alertmanagers": managers}
        return found


def _target(name: str, at: str, slash: str, path: str) -> dict[str, Any]:
    labels = {"namespace": "live", "tradepulse_io_runner": name}
    return {
        "targets": [at],
        "labels": labels | ({"__metrics_path__": slash + path} if path else {}),
    }


def hasty_rules() -> dict[str, Any]:
    """The rules as they are, with less patience."""
    found: dict[str, Any] = yaml.safe_load(RULES.read_text())["spec"]
    for group in found["groups"]:
        for rule in group["rules"]:
            rule |= {key: PATIENCE for key in ("for", "keep_firing_for") if key in rule}
            if rule["alert"] in IMPATIENT:
                slow, quick = IMPATIENT[rule["alert"]]
                assert rule["expr"].endswith(slow), rule["expr"]
                rule["expr"] = rule["expr"].removesuffix(slow) + quick
    return found
