"""The admin surface, a real server on a running loop, fuzzed by its own document."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.support.runner.admin_fixtures import SECRET, Issuer
from tests.support.runner.runner_fixtures import running
from tradepulse_runner.admin.app import build
from tradepulse_runner.admin.start import Admin
from tradepulse_runner.config.admin import AdminConfig
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.release import Release
from tradepulse_runner.server import Server


class Leaping:
    """A clock by which a minute passes between any two looks, so that no limit is reached."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 61
        return self.now


class Served(threading.Thread):
    """A loop that trades and its surface, in an event loop of their own."""

    def __init__(self, folder: Path, issuer: Issuer) -> None:
        super().__init__(daemon=True)
        self.folder, self.issuer = folder, issuer
        self.ready, self.port = threading.Event(), 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self.failure = error
            self.ready.set()

    async def _serve(self) -> None:
        self.events, self.end = asyncio.get_running_loop(), asyncio.Event()
        async with running(self.folder) as loop:
            admin = self._admin(loop)
            self.port = await admin.start()
            self.ready.set()
            await self.end.wait()
            await admin.stop()

    def _admin(self, loop: LiveExecutionLoop) -> Admin:
        config = {"host": "127.0.0.1", "port": 0, "oauth": self.issuer.config()}
        status = Server(loop, Release(version="1"), "h").status
        environment = {"TRADEPULSE_AUDIT_SECRET": SECRET}
        parsed = AdminConfig.model_validate(config)
        return Admin(parsed, loop, status, environment, timer=Leaping())

    def stop(self) -> None:
        self.events.call_soon_threadsafe(self.end.set)
        self.join(20)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("fuzzed")
    thread = Served(folder / "state", Issuer(folder))
    thread.start()
    assert thread.ready.wait(30)
    assert thread.failure is None, thread.failure
    yield thread
    thread.stop()


schema = schemathesis.openapi.from_dict(build().openapi())
FUZZED = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@schema.parametrize()
@FUZZED
def test_every_answer_fits_the_document_and_none_is_a_failure(
    case: Case[Any], served: Served
) -> None:
    """Includes that requests without, and with bad, credentials are turned away."""
    answer = case.call(
        base_url=f"http://127.0.0.1:{served.port}",
        headers={"Authorization": f"Bearer {served.issuer.token()}"},
    )
    # A tag can have the right form and still be of another moment.
    stale: list[Any] = [positive_data_acceptance] if answer.status_code == 412 else []
    case.validate_response(answer, excluded_checks=stale)
