"""Uploads backups and incident reports to the object store.

Bundles on the volume without a mark are uploaded, then marked. An unreachable store is reported by
a log line and a metric and retried; no start, halt or rollback waits for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from tradepulse_runner.config.runner import ObjectStoreConfig
from tradepulse_runner.credentials.store import Credential, CredentialStore
from tradepulse_runner.errors import ObjectStoreError, RunnerError
from tradepulse_runner.files.snapshot import (
    Step,
    canonical,
    fsync_dir,
    make_dirs,
    no_fault,
    write_durable,
)
from tradepulse_runner.store import bundles
from tradepulse_runner.store.bucket import Folder

log = logging.getLogger(__name__)
#: Folder of the marks in the state directory; a lost mark costs one verification.
MARKS = "stored"
#: Seconds between two polls of the volume, and the maximum backoff.
INTERVAL = 60.0
FIRST_PAUSE = 1.0


class UploadMetrics:
    """Metrics of the object store, registered only where one is configured."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.up = Gauge(
            "tradepulse_object_store_up",
            "1 while uploads succeed, or none is needed.",
            registry=registry,
        )
        self.pending = Gauge(
            "tradepulse_object_store_pending",
            "Backups and incident reports that are not uploaded yet.",
            ["kind"],
            registry=registry,
        )
        self.uploads = Counter(
            "tradepulse_object_store_uploads",
            "Uploads of backups and incident reports: ok, or error (an attempt that is retried).",
            ["outcome"],
            registry=registry,
        )
        self.versioned = Gauge(
            "tradepulse_object_store_versioned",
            "1 if the bucket keeps object versions, otherwise 0; NaN before the first upload.",
            registry=registry,
        )
        self.versioned.set(float("nan"))
        for kind in bundles.KINDS:
            self.pending.labels(kind)
        for outcome in ("ok", "error"):
            self.uploads.labels(outcome)


class Uploader:
    """Uploads the bundles in ``state_dir``. ``runner``: ``namespace/name``."""

    def __init__(
        self,
        config: ObjectStoreConfig,
        runner: str,
        state_dir: Path,
        registry: CollectorRegistry,
        *,
        clock: Callable[[], float] = time.time,
        step: Step = no_fault,
    ) -> None:
        self._config, self._state_dir = config, state_dir
        self._place = bundles.runner_prefix(config, runner)
        self._where = f"{config.endpoint}/{config.bucket}/{self._place}"
        self._credentials = CredentialStore("s3", config.credentials_dir, {})
        self._loaded = False
        self._metrics = UploadMetrics(registry)
        self._clock, self._step = clock, step
        self._pending: list[str] = []
        self._problem = ""
        self._versioned: bool | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start; returns at once."""
        self._task = asyncio.create_task(self.run(), name="uploads")

    async def stop(self) -> None:
        """Stop; the next process uploads the rest."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def run(self) -> None:
        """Run until cancelled; never raises anything else."""
        pause = FIRST_PAUSE
        while True:
            if await self.upload_pending():
                pause = FIRST_PAUSE
                await asyncio.sleep(INTERVAL)
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, INTERVAL)

    async def upload_pending(self) -> bool:
        """Upload pending bundles; True when none is left."""
        try:
            self._pending = await asyncio.to_thread(self._find_pending)
            await self._store_pending()
        except Exception as error:  # an unexpected error must not reach trading
            self._report_problem(error)
            return False
        finally:
            self._update_metrics()
        return not self._pending

    def status(self) -> dict[str, Any]:
        """For ``/status``: JSON values."""
        return {
            "pending": len(self._pending),
            "problem": self._problem,
            "versioned": self._versioned,
        }

    async def _store_pending(self) -> None:
        problems: list[Exception] = []
        folder = self._open() if self._pending else None
        for name in list(self._pending):
            assert folder is not None
            try:
                await self._store(folder, name)
                self._pending.remove(name)
            except ObjectStoreError:
                raise  # the next bundle would fail as well
            except (RunnerError, OSError) as error:
                problems.append(error)  # a damaged backup must not block the others
        if problems:
            raise problems[0]
        if self._problem:
            log.info("object_store.recovered", extra={"store": self._where})
        self._problem = ""

    def _open(self) -> Folder:
        """With the current credentials. Raises :class:`ConfigError` while there are none."""
        return Folder(self._config, self._credential(), self._place, step=self._step)

    def _credential(self) -> Credential:
        if not self._loaded:
            self._credentials.load()
            self._loaded = True
        self._credentials.refresh()
        return self._credentials.current

    async def _store(self, folder: Folder, name: str) -> None:
        seen = bundles.fingerprint(self._state_dir, name)
        content = await asyncio.to_thread(bundles.bundle, self._state_dir, name)
        done = await bundles.upload(folder, content)
        self._record_versioning(bool(done.version))
        mark = {
            "store": self._where,
            "look": seen,
            "sha256": done.sha256,
            "version": done.version,
            "at": self._clock(),
        }
        self._step("mark")
        await asyncio.to_thread(self._mark, name, mark)
        self._metrics.uploads.labels("ok").inc()
        log.info("object_store.stored", extra={"bundle": name, "sha256": done.sha256})

    def _mark(self, name: str, mark: dict[str, Any]) -> None:
        make_dirs(self._state_dir / MARKS)
        write_durable(self._marker(name), canonical(mark) + b"\n", step=self._step)

    def _find_pending(self) -> list[str]:
        """Bundles on the volume without a mark; removes marks of deleted bundles."""
        present = bundles.names(self._state_dir)
        kept = {self._marker(name).name for name in present}
        folder = self._state_dir / MARKS
        gone = [p for p in folder.iterdir() if p.name not in kept] if folder.is_dir() else []
        for path in gone:
            path.unlink(missing_ok=True)
        if gone:
            fsync_dir(folder)
        return [name for name in present if not self._is_marked(name)]

    def _is_marked(self, name: str) -> bool:
        try:
            mark = json.loads(self._marker(name).read_bytes())
            return bool(
                mark["store"] == self._where
                and mark["look"] == bundles.fingerprint(self._state_dir, name)
            )
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _marker(self, name: str) -> Path:
        return self._state_dir / MARKS / f"{name.replace('/', '-')}.json"

    def _record_versioning(self, versioned: bool) -> None:
        if not versioned and self._versioned is not False:
            log.warning(
                "object_store.not_versioned",
                extra={"bucket": self._config.bucket, "remedy": "enable versioning of the bucket"},
            )
        self._versioned = versioned

    def _report_problem(self, error: Exception) -> None:
        foreseen = isinstance(error, (RunnerError, OSError))
        problem = str(error) if foreseen else f"unforeseen: {type(error).__name__}"
        self._metrics.uploads.labels("error").inc()
        if problem != self._problem:
            log.warning(
                "object_store.behind",
                extra={"why": problem, "pending": self._pending},
                exc_info=None if foreseen else error,
            )
        self._problem = problem

    def _update_metrics(self) -> None:
        metrics = self._metrics
        metrics.up.set(int(not self._problem))
        if self._versioned is not None:
            metrics.versioned.set(int(self._versioned))
        for kind in bundles.KINDS:
            waiting = sum(name.startswith(f"{kind}/") for name in self._pending)
            metrics.pending.labels(kind).set(waiting)
