"""Alertmanager, with the configuration of the runbooks, paging a fake of PagerDuty's endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.cluster.progress import Step
from tests.support.cluster.settings import Paths
from tests.support.services import gobuild
from tests.support.services.alertmanager.pagerduty import PagerDuty
from tests.support.services.process import Child, answers
from tests.support.services.service import LOOPBACK, free_port

MODULE = Path(__file__).resolve().parent / "go"
PACKAGE = "github.com/prometheus/alertmanager/cmd/alertmanager"
SAMPLE = Paths.default().root / "docs" / "runbooks" / "alertmanager.yaml"
#: Seconds between two notifications of a group: tests don't wait a minute for "resolved".
GROUP_INTERVAL = "1s"
#: Of a fake.
ROUTING_KEY = "0123456789abcdef0123456789abcdef"


class Alertmanager:
    """One Alertmanager; ``pager`` has what it sent."""

    name = "alertmanager"

    def __init__(self) -> None:
        self._child: Child | None = None
        self.pager = PagerDuty(ROUTING_KEY)
        self.url = ""

    def install(self, step: Step) -> None:
        gobuild.ensure(MODULE, PACKAGE, step)

    def start(self, folder: Path, host: str = LOOPBACK) -> Mapping[str, str]:
        folder.mkdir(parents=True, exist_ok=True)
        self.pager.start(host)
        port = free_port(host)
        self.url = f"http://{host}:{port}"
        config = folder / "alertmanager.yaml"
        config.write_text(yaml.safe_dump(self._config(folder)))
        self._child = Child(
            [
                gobuild.program(MODULE, PACKAGE),
                f"--config.file={config}",
                f"--storage.path={folder / 'data'}",
                f"--web.listen-address={host}:{port}",
                "--cluster.listen-address=",
            ],
            folder / "alertmanager.log",
        )
        self._child.wait_until(lambda: answers(f"{self.url}/-/ready"), self.name)
        return {"ALERTMANAGER_URL": self.url, "PAGERDUTY_FAKE_URL": self.pager.url}

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()
        self.pager.stop()

    def _config(self, folder: Path) -> dict[str, Any]:
        """The sample; only places and the pace are the test's."""
        found: dict[str, Any] = yaml.safe_load(SAMPLE.read_text())
        key = folder / "routing-key"
        key.write_text(ROUTING_KEY)
        (page,) = found["receivers"][0]["pagerduty_configs"]
        page |= {"routing_key_file": str(key), "url": self.pager.url}
        found["receivers"][1]["webhook_configs"][0]["url"] = self.pager.tickets_url
        found["route"] |= {"group_interval": GROUP_INTERVAL, "group_wait": "0s"}
        return found
