"""Backups in an S3 server: stored whole, verified, brought back; and a server that is away."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import obstore
import pytest
from click.testing import CliRunner, Result
from obstore.store import S3Store
from prometheus_client import CollectorRegistry

from tests.support.cluster.progress import Progress
from tests.support.runner.process import RunnerProcess, eventually
from tests.support.runner.runner_fixtures import Crash, crash_at
from tests.support.runner.state_files import order_state, write
from tests.support.services.objectstore.server import (
    BUCKET,
    KEY,
    REGION,
    SECRET,
    ObjectStore,
    write_credentials,
)
from tradepulse_runner.cli.main import main
from tradepulse_runner.config.runner import ObjectStoreConfig
from tradepulse_runner.files.snapshot import Step, no_fault
from tradepulse_runner.state.backup import Backups
from tradepulse_runner.state.directory import Preparation, prepare
from tradepulse_runner.store.uploads import Uploader


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    found = ObjectStore()
    with Progress().step("versitygw") as step:
        found.install(step)
    found.start(tmp_path_factory.mktemp("s3"))
    yield found
    found.stop()


@pytest.fixture
def config(server: ObjectStore, tmp_path: Path) -> ObjectStoreConfig:
    """Of a folder of this test's own."""
    return ObjectStoreConfig(
        endpoint=server.endpoint,
        bucket=BUCKET,
        prefix=tmp_path.name,
        credentials_dir=server.credentials_dir,
        ca_file=server.ca_file,
    )


class Seen:
    """The bucket through a client of its own, not through the code under test."""

    def __init__(self, config: ObjectStoreConfig, server: ObjectStore) -> None:
        self.root = f"{config.prefix}/trading/demo"
        self.store = S3Store(
            BUCKET,
            config={
                "endpoint": server.endpoint,
                "region": REGION,
                "access_key_id": KEY,
                "secret_access_key": SECRET,
            },
            client_options={"root_certificate": server.ca_file.read_bytes()},
        )

    def content(self) -> dict[str, bytes]:
        batches = obstore.list(self.store, prefix=self.root)
        paths = [item["path"] for batch in batches for item in batch]
        return {
            path.removeprefix(f"{self.root}/"): bytes(obstore.get(self.store, path).bytes())
            for path in paths
        }

    def put(self, name: str, data: bytes) -> None:
        obstore.put(self.store, f"{self.root}/{name}", data)

    def version(self, name: str) -> str | None:
        return obstore.get(self.store, f"{self.root}/{name}").meta["version"]


@pytest.fixture
def seen(config: ObjectStoreConfig, server: ObjectStore) -> Seen:
    return Seen(config, server)


def state(folder: Path, *keys: str) -> Path:
    """A state directory with these backups, and an incident report of the last one."""
    write(folder, 1, 1, 2)
    for number, key in enumerate(keys):
        prepare(folder, Preparation(backup=key), clock=partial(float, number))
    incident = folder / "incidents" / keys[-1]
    incident.mkdir(parents=True)
    (incident / "report.md").write_text("what happened")
    return folder


def uploader(config: ObjectStoreConfig, folder: Path, step: Step = no_fault) -> Uploader:
    return Uploader(config, "trading/demo", folder, CollectorRegistry(), step=step)


def expected(folder: Path, *keys: str) -> dict[str, bytes]:
    """What the bucket has to hold of a state directory's backups."""
    return {
        f"backups/{key}/{path.name}": path.read_bytes()
        for key in keys
        for path in (folder / "backups" / key).iterdir()
    }


def cli(seen: Seen, server: ObjectStore, *words: str) -> Result:
    store = [
        *("--from", f"s3://{BUCKET}/{seen.root}", "--endpoint", server.endpoint),
        *("--ca-file", str(server.ca_file), "--credentials-dir", str(server.credentials_dir)),
    ]
    return CliRunner().invoke(main, ["state", *words, *store])


async def test_every_file_is_stored_and_then_nothing_is_sent_again(
    config: ObjectStoreConfig, seen: Seen, tmp_path: Path
) -> None:
    folder = state(tmp_path / "state", "uid-1", "uid-2")
    worker = uploader(config, folder)
    assert await worker.upload_pending()
    found = seen.content()
    backups = {name: data for name, data in found.items() if name.startswith("backups/")}
    assert backups == expected(folder, "uid-1", "uid-2")
    assert found["incidents/uid-2/report.md"] == b"what happened"
    assert worker.status() == {"pending": 0, "problem": "", "versioned": True}
    before = {name: seen.version(name) for name in found}
    assert await worker.upload_pending()
    for mark in (folder / "stored").iterdir():
        mark.unlink()  # also when it has to ask the store
    assert await uploader(config, folder).upload_pending()
    assert {name: seen.version(name) for name in found} == before


async def test_a_report_that_changes_is_stored_anew(
    config: ObjectStoreConfig, seen: Seen, tmp_path: Path
) -> None:
    folder = state(tmp_path / "state", "uid-1")
    worker = uploader(config, folder)
    assert await worker.upload_pending()
    (folder / "incidents" / "uid-1" / "report.md").write_text("what happened, and what followed")
    assert await worker.upload_pending()
    assert seen.content()["incidents/uid-1/report.md"] == b"what happened, and what followed"


async def test_killed_at_every_step_and_started_again_the_bucket_holds_the_same(
    config: ObjectStoreConfig, server: ObjectStore, tmp_path: Path
) -> None:
    steps: list[str] = []
    folder = state(tmp_path / "undisturbed", "uid-1")
    own = config.model_copy(update={"prefix": f"{config.prefix}/undisturbed"})
    assert await uploader(own, folder, steps.append).upload_pending()
    wanted = set(Seen(own, server).content())
    assert {"put", "read-back", "mark"} <= set(steps)
    for number in range(1, len(steps) + 1):
        folder = state(tmp_path / str(number), "uid-1")
        own = config.model_copy(update={"prefix": f"{config.prefix}/{number}"})
        with pytest.raises(Crash):
            await uploader(own, folder, crash_at(number)).upload_pending()
        assert await uploader(own, folder).upload_pending()
        found = Seen(own, server).content()
        assert set(found) == wanted, f"killed at {number}, {steps[number - 1]}"
        assert expected(folder, "uid-1").items() <= found.items()


async def test_what_was_sent_and_not_recorded_is_not_sent_twice(
    config: ObjectStoreConfig, seen: Seen, tmp_path: Path
) -> None:
    """Killed after the last object of a bundle and before its mark: the store is asked."""
    folder = state(tmp_path / "state", "uid-1")
    steps: list[str] = []

    def die_at_the_mark(step: str) -> None:
        if step == "mark":
            raise Crash

    with pytest.raises(Crash):
        await uploader(config, folder, die_at_the_mark).upload_pending()
    before = set(seen.content())
    assert len(before) == 2
    assert await uploader(config, folder, steps.append).upload_pending()
    assert steps.count("put") == len(set(seen.content()) - before) > 0


async def test_a_damaged_backup_is_named_and_neither_stored_nor_in_the_way(
    config: ObjectStoreConfig, seen: Seen, tmp_path: Path
) -> None:
    folder = state(tmp_path / "state", "bad", "good")
    (folder / "backups" / "bad" / "paper_oms.json").write_bytes(b"torn")
    worker = uploader(config, folder)
    assert not await worker.upload_pending()
    assert "backups/bad/paper_oms.json: missing or damaged" in worker.status()["problem"]
    names = set(seen.content())
    assert "backups/good/manifest.json" in names
    assert not any(name.startswith("backups/bad/") for name in names)


async def test_a_store_that_is_down_is_reported_and_the_copy_made_up_for_later(
    config: ObjectStoreConfig, server: ObjectStore, tmp_path: Path, seen: Seen
) -> None:
    folder = state(tmp_path / "state", "uid-1")
    worker = uploader(config, folder)
    server.kill()
    try:
        assert not await worker.upload_pending()
    finally:
        await asyncio.to_thread(server.start, Path(server.log).parent)
    told = worker.status()
    assert told["pending"] == 2
    assert "gives no answer" in told["problem"]
    assert await worker.upload_pending()
    assert worker.status()["problem"] == ""
    assert expected(folder, "uid-1").items() <= seen.content().items()


async def test_wrong_credentials_are_reported_without_showing_them_and_a_rotation_mends_it(
    config: ObjectStoreConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = state(tmp_path / "state", "uid-1")
    mounted = tmp_path / "secret"
    mounted.mkdir()
    own = config.model_copy(update={"credentials_dir": mounted})
    worker = uploader(own, folder)
    assert not await worker.upload_pending()
    assert "S3_API_KEY: missing" in worker.status()["problem"]
    write_credentials(mounted, secret="a-secret-that-is-wrong")
    assert not await worker.upload_pending()
    problem = worker.status()["problem"]
    assert "refused our credentials" in problem
    assert KEY not in problem
    assert "a-secret-that-is-wrong" not in problem
    write_credentials(mounted)

    monkeypatch.setattr("tradepulse_runner.credentials.store.HALF", 0.0)  # tested where it is kept
    assert await worker.upload_pending()


async def test_a_bucket_without_versions_is_reported(
    config: ObjectStoreConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = ObjectStore(versioned=False)
    await asyncio.to_thread(plain.start, tmp_path / "s3")
    try:
        own = config.model_copy(update={"endpoint": plain.endpoint, "ca_file": plain.ca_file})
        worker = uploader(own, state(tmp_path / "state", "uid-1"))
        assert await worker.upload_pending()
    finally:
        plain.stop()
    assert worker.status()["versioned"] is False
    assert "object_store.not_versioned" in caplog.text


async def test_an_unforeseen_failure_does_not_end_the_worker(
    config: ObjectStoreConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = uploader(config, state(tmp_path / "state", "uid-1"))

    async def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("tradepulse_runner.store.bundles.upload", broken)
    assert not await worker.upload_pending()
    assert worker.status()["problem"] == "unforeseen: RuntimeError"


# -- and back --------------------------------------------------------------------------------


async def stored(config: ObjectStoreConfig, folder: Path) -> dict[str, bytes]:
    """Store a state's backups; the order state as it was backed up."""
    before = order_state(folder)
    assert await uploader(config, folder).upload_pending()
    return {name: data for name, data in before.items() if not name.startswith(".")}


async def test_a_lost_volume_is_restored_from_the_store(
    config: ObjectStoreConfig, server: ObjectStore, seen: Seen, tmp_path: Path
) -> None:
    before = await stored(config, state(tmp_path / "state", "uid-1"))
    listed = await asyncio.to_thread(cli, seen, server, "stored")
    assert listed.output.split() == ["backups/uid-1", "incidents/uid-1"]
    new = tmp_path / "new"
    words = ("restore", "--backup", "uid-1", "--state-dir", str(new))
    for _ in range(2):
        done = await asyncio.to_thread(cli, seen, server, *words)
        assert done.exit_code == 0, done.output
        found = order_state(new)
        assert {name: data for name, data in found.items() if not name.startswith(".")} == before


@pytest.mark.parametrize("victim", ["paper_oms.json", "paper_journal.00000001", "manifest.json"])
async def test_what_the_store_damaged_is_refused_before_anything_changes(
    config: ObjectStoreConfig, server: ObjectStore, seen: Seen, tmp_path: Path, victim: str
) -> None:
    await stored(config, state(tmp_path / "state", "uid-1"))
    seen.put(f"backups/uid-1/{victim}", b'{"files": {"../epoch.json": {"sha256": "", "bytes": 1}}}')
    new = tmp_path / "new"
    write(new, 5, 9)
    before = order_state(new)
    words = ("restore", "--backup", "uid-1", "--state-dir", str(new))
    done = await asyncio.to_thread(cli, seen, server, *words)
    assert done.exit_code == 1
    assert victim in done.output
    assert "remedy" in done.output
    assert order_state(new) == before
    assert Backups(new, clock=float).ids() == []


async def test_a_damaged_backup_on_the_volume_is_replaced_by_the_stored_one(
    config: ObjectStoreConfig, server: ObjectStore, seen: Seen, tmp_path: Path
) -> None:
    folder = state(tmp_path / "state", "uid-1")
    before = await stored(config, folder)
    (folder / "backups" / "uid-1" / "paper_oms.json").write_bytes(b"torn")
    words = ("restore", "--backup", "uid-1", "--state-dir", str(folder))
    done = await asyncio.to_thread(cli, seen, server, *words)
    assert done.exit_code == 0, done.output
    found = order_state(folder)
    assert {name: data for name, data in found.items() if not name.startswith(".")} == before


async def test_a_backup_that_is_not_there_is_named(
    config: ObjectStoreConfig, server: ObjectStore, seen: Seen, tmp_path: Path
) -> None:
    words = ("restore", "--backup", "none", "--state-dir", str(tmp_path / "new"))
    done = await asyncio.to_thread(cli, seen, server, *words)
    assert done.exit_code == 1
    assert "holds no backup none" in done.output


# -- a whole process -------------------------------------------------------------------------


def object_store(config: ObjectStoreConfig) -> dict[str, Any]:
    return config.model_dump(mode="json")


def test_a_runner_killed_while_it_stores_ends_with_everything_stored(
    config: ObjectStoreConfig, server: ObjectStore, tmp_path: Path
) -> None:
    """SIGKILL in the middle of 40 MB; the next start stores what is missing."""
    runner = RunnerProcess(tmp_path / "runner", object_store=object_store(config))
    folder = runner.state_dir
    write(folder, 1, 1)
    (folder / "other_journal.00000001").write_bytes(os.urandom(40 << 20))
    prepare(folder, Preparation(backup="uid-1"), clock=lambda: 1.0)
    (folder / "other_journal.00000001").unlink()
    (folder / "paper_oms.json").unlink()
    (folder / "paper_journal.00000001").unlink()
    seen = Seen(config, server)
    seen.root = f"{config.prefix}/default/demo"
    runner.start()
    runner.kill()
    assert "backups/uid-1/manifest.json" not in seen.content()
    runner.start()
    try:
        eventually((folder / "stored" / "backups-uid-1.json").is_file)
        runner.until(lambda told: told["object_store"]["pending"] == 0)
        runner.until(lambda told: told["state"] == "TRADING")
    finally:
        runner.close()
    assert expected(folder, "uid-1").items() <= seen.content().items()


def test_a_runner_trades_while_its_store_is_down(config: ObjectStoreConfig, tmp_path: Path) -> None:
    down = config.model_copy(update={"endpoint": "https://127.0.0.1:9"})
    runner = RunnerProcess(tmp_path / "runner", object_store=object_store(down))
    prepare(runner.state_dir, Preparation(backup="uid-1"), clock=lambda: 1.0)
    runner.start()
    try:
        told = eventually(lambda: runner.status()["object_store"]["problem"])
        assert "gives no answer" in told
        eventually(lambda: runner.status()["state"] == "TRADING")
        assert runner.status()["object_store"]["pending"] == 1
    finally:
        runner.close()
