"""Runner processes that end with their test, and what watches them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster.progress import Progress
from tests.support.runner.alerting_fixtures import Stack
from tests.support.runner.process import RunnerProcess
from tests.support.runner.virtual_time import VirtualLoop
from tests.support.services.alertmanager.server import Alertmanager
from tests.support.services.prometheus import Prometheus

Make = Callable[..., RunnerProcess]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Virtual time for modules that say ``VIRTUAL_TIME = True``: no process, no socket in them."""
    module = item.getparent(pytest.Module)
    virtual = module is not None and getattr(module.obj, "VIRTUAL_TIME", False)
    return {"virtual": VirtualLoop} if virtual else {"real": asyncio.new_event_loop}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes runners, each in a folder of its own."""
    made: list[RunnerProcess] = []

    def build(**config: Any) -> RunnerProcess:
        made.append(RunnerProcess(tmp_path / f"runner-{len(made)}", **config))
        return made[-1]

    yield build
    for runner in made:
        runner.close()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("watching")
    alertmanager = Alertmanager()
    with Progress().step("Alertmanager") as step:
        alertmanager.install(step)
    try:
        alertmanager.start(folder / "alertmanager")
        prometheus = Prometheus(alertmanager.url)
        try:
            prometheus.start(folder / "prometheus")
            yield Stack(prometheus, alertmanager)
        finally:
            prometheus.stop()
    finally:
        alertmanager.stop()
    assert alertmanager.pager.refused == []
