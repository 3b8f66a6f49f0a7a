"""Releases of different age on one state volume, as real processes: each starts on what the other
wrote, and each can be rolled back from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.integration.skew.releases import Installed, following, previous, this
from tests.support.runner.process import RunnerProcess

UID = "8c1d6d0e-0000-4000-8000-000000000001"
#: From one release to another, both of which read what the other one writes or restore it.
CUTOVERS = [("previous", "this"), ("this", "previous"), ("previous", "next"), ("this", "next")]
#: What each reads without a restore.
READS = [("previous", "this"), ("this", "previous"), ("this", "next"), ("previous", "next")]
Releases = dict[str, Installed]
Make = Callable[[Installed], RunnerProcess]


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    folder = tmp_path_factory.mktemp("releases")
    built = (this(), previous(folder / "previous"), following(folder / "next"))
    return {each.name: each for each in built}


@pytest.fixture
def of(tmp_path: Path) -> Iterator[Make]:
    """Makes the one runner of a test, first of all of a release."""
    made: list[RunnerProcess] = []

    def build(release: Installed) -> RunnerProcess:
        made.append(release.made(tmp_path / "runner"))
        return made[-1]

    yield build
    for runner in made:
        runner.close()


def prepare(release: Installed, runner: RunnerProcess, *words: str) -> dict[str, Any]:
    done = release.cli("state", "prepare", "--state-dir", str(runner.state_dir), *words)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def inspect(release: Installed, runner: RunnerProcess) -> dict[str, Any]:
    done = release.cli("state", "inspect", "--state-dir", str(runner.state_dir))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def damage(runner: RunnerProcess) -> list[str]:
    """What the process of now took for damage."""
    names = (
        "journal.damaged",
        "journal.torn_tail_cut",
        "journal.records_missing",
        "oms.snapshot_damaged",
    )
    return [name for name in names if runner.logged(name)]


def test_the_releases_are_different_programs(releases: Releases) -> None:
    def text(name: str, file: str) -> str:
        return (releases[name].path / "tradepulse_runner" / "files" / file).read_text()

    assert "SCHEMA = 1\n" in text("previous", "snapshot.py")
    assert 'Schema("journal", 1)' in text("this", "schema.py")
    assert 'Schema("journal", 2)' in text("next", "schema.py")
    assert 'Schema("writer epoch", 1, frozen=True)' in text("next", "schema.py")


@pytest.mark.parametrize(("source", "target"), CUTOVERS)
def test_every_release_can_be_rolled_back(
    source: str, target: str, releases: Releases, of: Make
) -> None:
    before, after = releases[source], releases[target]
    runner = of(before).start()
    runner.trade(20)
    assert runner.end() == 0
    saved = inspect(before, runner)
    made = prepare(before, runner, "--backup", UID)["backup"]
    after.take(runner).start()
    runner.trade(20)
    assert damage(runner) == []
    epoch = runner.status()["writer_epoch"]
    assert runner.end() == 0
    told = prepare(before, runner, "--restore", UID, "--mode", "restore")["restore"]
    assert (told["id"], told["sha256"]) == (UID, made["sha256"])
    assert inspect(before, runner)["venues"] == saved["venues"]
    before.take(runner).start()
    runner.trade(20)
    assert damage(runner) == []
    assert runner.status()["writer_epoch"] > epoch
    runner.halt()
    # The orders of the release that is gone are closed, and what they filled is booked.
    assert runner.venue_open() == 0
    book = runner.book()["positions"].items()
    assert {symbol: Decimal(q) for symbol, q in book if Decimal(q)} == runner.venue_positions()


@pytest.mark.parametrize(("source", "target"), READS)
def test_nothing_is_lost_on_the_way_forward_after_a_crash(
    source: str, target: str, releases: Releases, of: Make
) -> None:
    before, after = releases[source], releases[target]
    runner = of(before).start()
    runner.trade(20)
    runner.kill()
    known, seen = inspect(before, runner)["venues"], inspect(after, runner)["venues"]
    assert seen == known
    assert seen["paper"]["journal"]["replayed"] > 0
    after.take(runner).start()
    runner.trade(5)
    assert damage(runner) == []
    runner.halt()
    runner.assert_agrees()


@pytest.mark.parametrize(("source", "target"), CUTOVERS)
def test_a_latch_outlives_the_rollback(
    source: str, target: str, releases: Releases, of: Make
) -> None:
    before, after = releases[source], releases[target]
    runner = of(before).start()
    assert runner.end() == 0
    prepare(before, runner, "--backup", UID)
    state = ("--state-dir", str(runner.state_dir))
    engaged = after.cli("kill-switch", "engage", *state, "--reason", "it misbehaves")
    assert engaged.returncode == 0, engaged.stderr
    prepare(before, runner, "--restore", UID, "--mode", "restore")
    shown = json.loads(before.cli("kill-switch", "status", *state, "--json").stdout)
    assert (shown["engaged"], shown["reason"]) == (True, "it misbehaves")


@pytest.mark.parametrize("reader", ["this", "previous"])
def test_what_is_too_new_is_named_and_kept_whole(reader: str, releases: Releases, of: Make) -> None:
    """A rollback that keeps the state: the release before can't read it, and says so."""
    runner = of(releases["next"]).start()
    runner.trade(20)
    runner.kill()
    known = inspect(releases["next"], runner)["venues"]
    releases[reader].take(runner).start(wait=False)
    assert runner.process is not None
    assert runner.process.wait(60) == 1
    words = runner.log.read_text()
    assert "schema 2" in words
    assert "remedy" in words
    assert "Traceback" not in words
    assert inspect(releases["next"], runner)["venues"] == known
    assert not list(runner.state_dir.glob("incidents/quarantine/*"))
    releases["next"].take(runner).start()
    runner.trade(5)
    assert damage(runner) == []
