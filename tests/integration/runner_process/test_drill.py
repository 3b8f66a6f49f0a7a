"""The drill passes on a sound runner, fails on one that isn't, and says what it saw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.runner.process import cli
from tests.support.runner.runner_fixtures import config
from tradepulse_runner.config.runner import RunnerConfig
from tradepulse_runner.drill.rehearsal import Result, drill
from tradepulse_runner.files.snapshot import SnapshotFile
from tradepulse_runner.killswitch import KillSwitch
from tradepulse_runner.live.killreport import KillReport
from tradepulse_runner.live.venue_sessions import VenueSessions


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradepulse_runner.drill.rehearsal.QUIET_PERIOD", 0.2)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For drills that are to fail: what doesn't happen soon doesn't happen."""
    monkeypatch.setattr("tradepulse_runner.drill.rehearsal.PATIENCE", 1.0)
    monkeypatch.setattr("tradepulse_runner.drill.rehearsal.PLACING", 3.0)
    monkeypatch.setattr("tradepulse_runner.live.loop.SHUTDOWN_PATIENCE", 0.5)


def configured(folder: Path, **changes: Any) -> RunnerConfig:
    return RunnerConfig.model_validate(config(folder, **changes))


def failed(result: Result) -> set[str]:
    return {check.name for check in result.checks if not check.passed}


async def test_it_passes_and_measures(tmp_path: Path) -> None:
    result = await drill(configured(tmp_path / "state"), orders=30)
    assert failed(result) == set()
    assert result.passed
    assert result.measures["orders resting"] == 30
    first = result.measures["engage to first cancel, ms"]
    assert 0 < result.measures["engage to latch on disk, ms"] < first
    assert first <= result.measures["engage to last cancel, ms"]
    # Nothing is left where the real state would be.
    assert not (tmp_path / "state").exists()


async def test_real_venues_are_rehearsed_on_paper_without_credentials(tmp_path: Path) -> None:
    venues = [
        {"name": "binance", "connector": "binance", "symbols": ["BTCUSDT", "ETHUSDT"]},
        {"name": "coinbase", "connector": "coinbase", "symbols": ["BTC-USD"]},
    ]
    result = await drill(configured(tmp_path, venues=venues), orders=12)
    assert failed(result) == set()


async def test_limits_that_leave_room_for_few_orders_are_no_failure(tmp_path: Path) -> None:
    loaded = configured(tmp_path)
    tight = loaded.risk.model_copy(
        update={"max_orders_per_interval": 3, "interval_seconds": 0.2, "max_duplicates": 1,
                "duplicate_window": 60.0}
    )  # fmt: skip
    result = await drill(loaded.model_copy(update={"risk": tight}), orders=9)
    assert failed(result) == set()
    assert result.measures["orders resting"] == 9


# -- a drill that can't fail proves nothing --------------------------------------------------------


async def test_a_latch_that_never_reaches_the_disk_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    def forget(self: KillSwitch, event: str, *, by: str, reason: str) -> None:
        pass

    monkeypatch.setattr(KillSwitch, "_write", forget)
    names = failed(await drill(configured(tmp_path), orders=5))
    assert "the latch is on disk when engaging returns" in names
    assert "a restart leaves it latched" in names


async def test_a_sweep_that_cancels_nothing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    async def nothing(self: VenueSessions, *, unreconciled: bool = False) -> None:
        pass

    monkeypatch.setattr(VenueSessions, "cancel_all", nothing)
    names = failed(await drill(configured(tmp_path), orders=5))
    assert "every order is cancelled at the venue" in names


async def test_a_gate_that_the_latch_does_not_close_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    monkeypatch.setattr("tradepulse_runner.live.phase._stop", lambda _facts: "")
    names = failed(await drill(configured(tmp_path), orders=5))
    assert "an order is refused from then on" in names


async def test_a_list_that_is_not_kept_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    async def nothing(self: KillReport, switch: KillSwitch, *, complete: bool) -> None:
        pass

    monkeypatch.setattr(KillReport, "save", nothing)
    names = failed(await drill(configured(tmp_path), orders=5))
    assert names == {"what can't be cancelled is listed, and nothing else"}


async def test_a_drill_that_breaks_off_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: SnapshotFile) -> None:
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr(SnapshotFile, "load", broken)
    result = await drill(configured(tmp_path), orders=5)
    assert not result.passed
    assert "the disk is gone" in result.checks[-1].detail


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "runner.yaml"
    path.write_text(yaml.safe_dump(config(tmp_path / "state", owner="desk 7")))
    return path


def test_the_command_writes_both_reports(tmp_path: Path, file: Path) -> None:
    report = tmp_path / "reports" / "drill.md"
    done = cli(
        "kill-switch", "drill", "--config", str(file), "--report", str(report), "--orders", "10"
    )
    assert done.exit_code == 0, done.output
    found = json.loads(report.with_suffix(".json").read_text())
    assert (found["passed"], found["runner"], found["owner"]) == (True, "default/test", "desk 7")
    text = report.read_text()
    for check in found["checks"]:
        assert f"| {check['name']} | pass |" in text
    for name in found["measures"]:
        assert f"| {name} |" in text
    assert "FAIL" not in text


def test_a_failed_check_is_exit_code_1_and_in_the_report(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    async def nothing(self: VenueSessions, *, unreconciled: bool = False) -> None:
        pass

    monkeypatch.setattr(VenueSessions, "cancel_all", nothing)
    words = ("--config", str(file), "--report", str(tmp_path / "drill"), "--orders", "4")
    done = cli("kill-switch", "drill", *words)
    assert done.exit_code == 1
    assert "FAIL  every order is cancelled at the venue" in done.output
    assert "FAILED" in (tmp_path / "drill.md").read_text().splitlines()[0]
    assert json.loads((tmp_path / "drill.json").read_text())["passed"] is False


def test_a_place_that_can_not_be_written_is_one_sentence(file: Path) -> None:
    words = ("--config", str(file), "--report", "/proc/none/drill", "--orders", "1")
    done = cli("kill-switch", "drill", *words)
    assert done.exit_code == 1
    assert "give --report another place" in done.output
