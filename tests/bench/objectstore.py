"""What copying a backup to the object store costs, beside a bare put: ``make bench-store``."""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import obstore
from obstore.store import S3Store
from prometheus_client import CollectorRegistry

from tests.support.cluster.progress import Progress
from tests.support.services.objectstore.server import BUCKET, KEY, REGION, SECRET, ObjectStore
from tradepulse_runner.config.runner import ObjectStoreConfig
from tradepulse_runner.files.schema import ORDER_BOOK
from tradepulse_runner.files.snapshot import SnapshotFile
from tradepulse_runner.state.directory import Preparation, prepare
from tradepulse_runner.store.uploads import Uploader

MEBI = 1 << 20


@click.command()
@click.option("--size", default=50, show_default=True, help="Mebibytes of the state.")
@click.option("--rounds", default=5, show_default=True)
def main(size: int, rounds: int) -> None:
    """Back a state directory up, copy it, and put the same bytes bare, in turns."""
    server = ObjectStore()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Progress().step("versitygw") as step:
            server.install(step)
            server.start(folder / "s3")
        try:
            found = [_round(server, folder / str(number), size) for number in range(rounds)]
        finally:
            server.stop()
    backup, copy, bare = (statistics.median(column) for column in zip(*found, strict=True))
    click.echo(f"state of {size} MiB, median of {rounds}, loopback with TLS")
    click.echo(f"  backup on the volume, with fsync and checksums  {backup:6.2f} s")
    click.echo(f"  copy, read back and verified                    {copy:6.2f} s")
    click.echo(f"  bare obstore put of the same files              {bare:6.2f} s")
    click.echo(f"  copy / bare put                                 {copy / bare:6.2f}")


def _round(server: ObjectStore, folder: Path, size: int) -> tuple[float, float, float]:
    state = folder / "state"
    state.mkdir(parents=True)
    snapshot = SnapshotFile(state / "paper_oms.json", ORDER_BOOK)
    snapshot.load()
    snapshot.save({})
    for number in range(5):
        (state / f"paper_journal.{number:08d}").write_bytes(os.urandom(size * MEBI // 5))
    backup = _timed(lambda: prepare(state, Preparation(backup="uid"), clock=time.time))
    config = ObjectStoreConfig(
        endpoint=server.endpoint,
        bucket=BUCKET,
        prefix=folder.name,
        credentials_dir=server.credentials_dir,
        ca_file=server.ca_file,
    )
    worker = Uploader(config, "bench/copied", state, CollectorRegistry())
    copy = _timed(lambda: _whole(asyncio.run(worker.upload_pending())))
    return backup, copy, _timed(lambda: _bare(server, state / "backups" / "uid", folder.name))


def _whole(good: bool) -> None:
    if not good:
        raise click.ClickException("the copy failed: its figure would be worth nothing")


def _bare(server: ObjectStore, folder: Path, prefix: str) -> None:
    store = S3Store(
        BUCKET,
        prefix=f"{prefix}/bare",
        config={
            "endpoint": server.endpoint,
            "region": REGION,
            "access_key_id": KEY,
            "secret_access_key": SECRET,
        },
        client_options={"root_certificate": server.ca_file.read_bytes()},
    )
    for path in folder.iterdir():
        obstore.put(store, path.name, path)


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
