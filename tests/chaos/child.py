"""One life of a runner, in a process of its own that may be killed at any moment.

The process is forked from one that has imported everything and runs no event loop, so that a
life costs its own time alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import tradepulse_runner.live.loop
import tradepulse_runner.live.session
from tests.chaos.faulty_connector import ORDER_KINDS, FaultyConnector
from tests.chaos.plan import REFUSAL, Case, Life, chance_of
from tests.chaos.strategy import Decisions, Erratic
from tests.chaos.venues import ChaosVenue
from tradepulse_runner import logs
from tradepulse_runner.config.runner import RiskConfig
from tradepulse_runner.errors import StateError
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.live.loop_config import LiveLoopConfig
from tradepulse_runner.live.phase import Phase
from tradepulse_runner.oms.book import Oms
from tradepulse_runner.risk.manager import RiskLimits, RiskManager
from tradepulse_runner.venues.paper import PaperConnector

PATIENCE = 15.0
#: Seconds that a runner waits for an answer here: a campaign has many that don't come.
REQUEST_TIMEOUT = 1.0
#: Bytes of a disk that is to be full soon.
DISK = 256 * 1024
LIMITS = {
    "max_position": "50",
    "max_notional": "10000000",
    "max_order_notional": "20000",
    "max_orders_per_interval": 1000,
    "interval_seconds": 1,
    "max_daily_loss": "1000000",
    "price_collar": "0.05",
}
CLEAN, REFUSED, STUCK, LATCHED, BROKEN = 0, 3, 4, 5, 6


class Trap:
    """A ``step`` that kills the process at the ``nth`` occurrence of ``point``."""

    def __init__(self, point: str, nth: int) -> None:
        self._point, self._left = point, nth

    def __call__(self, name: str) -> None:
        if name == self._point:
            self._left -= 1
            if self._left == 0:
                die()


def die() -> None:
    """kill -9 oneself."""
    os.kill(os.getpid(), signal.SIGKILL)


class Clock:
    """The machine's clock, ``ahead`` of the true time by so many seconds."""

    def __init__(self, ahead: float) -> None:
        self.ahead = ahead

    def __call__(self) -> float:
        return time.time() + self.ahead


class Disk:
    """The disk under the state directory, as far as it fails on demand."""

    def __init__(self, state_dir: Path) -> None:
        self._filler = state_dir / "filler"
        self._fails = False
        self._fsync = os.fsync

    def install(self) -> None:
        """Let every fsync of this process ask us."""
        setattr(os, "fsync", self.fsync)  # noqa: B010
        setattr(tradepulse_runner.live.loop, "Oms", partial(Oms, fsync=self.fsync))  # noqa: B010

    def fsync(self, fd: int) -> None:
        if self._fails:
            raise OSError(errno.EIO, "Input/output error")
        self._fsync(fd)

    def fail(self) -> None:
        self._fails = True

    def fill(self) -> None:
        """Until not a byte more fits; never more than a disk that was made for it has."""
        with contextlib.suppress(OSError), self._filler.open("wb", buffering=0) as handle:
            for _ in range(DISK // 512):
                handle.write(bytes(512))

    def free(self) -> None:
        self._filler.unlink(missing_ok=True)


class Runner:
    """A loop on ``folder/state`` and what drives it through ``life``."""

    def __init__(self, case: Case, life: Life, venue: ChaosVenue, folder: Path) -> None:
        self._life, self._folder = life, folder
        self._clock = Clock(life.ahead)
        self._disk = Disk(folder / "state")
        self._half = life.decisions // 2
        chance = chance_of(case, life.number)
        connector = venue.connector(self._clock)
        if life.faulty and isinstance(connector, PaperConnector):
            kinds = ("refused",) if case.point == REFUSAL else ORDER_KINDS
            # The label is part of the seed: a case that is repeated must draw the same faults.
            faults = chance_of(case, life.number, "unkind")
            connector = FaultyConnector(connector, faults, rarity=4, kinds=kinds)
        decisions = Decisions(folder / "decisions")
        self._strategy = Erratic(decisions, chance, life.decisions, period=0.004)
        if life.fsync_fails:
            self._disk.install()
        self._loop = LiveExecutionLoop(
            {connector.name: connector},
            RiskManager(
                RiskLimits.from_config(RiskConfig.model_validate(LIMITS)), clock=self._clock
            ),
            config=LiveLoopConfig(
                folder / "state",
                submission_interval=0.05,
                fill_poll_interval=0.05,
                heartbeat_interval=0.1,
                max_backoff=0.1,
            ),
            strategy=self._strategy,
            clock=self._clock,
            step=Trap(life.crash_at, life.nth),
        )

    async def live(self, *, cold_start: bool) -> int:
        """The whole life; returns the exit code."""
        began = time.monotonic()
        self._loop.on_drift.connect(lambda venue, kind, detail: self._note(drift=kind, of=detail))
        await self._loop.start(cold_start)
        if not await self._until(self._settled):
            self._note(stuck=self._loop.phase()[1])
            await self._loop.shutdown()
            return STUCK
        self._note(life=self._life.number, converged=time.monotonic() - began)
        code = LATCHED if self._loop.kill_switch[0] else await self._trade()
        if code == LATCHED:
            await self._until(self._nothing_rests)
        await self._loop.shutdown()
        return code

    async def _trade(self) -> int:
        life = self._life
        saving = asyncio.create_task(self._save())
        await self._until(lambda: self._strategy.left <= self._half or self._halted())
        self._harm()
        await self._until(lambda: self._strategy.left <= 0 or self._halted())
        if life.kills:
            die()
        if life.engages:
            await self._loop.engage_kill_switch("chaos")
            await self._until(self._nothing_rests)
        saving.cancel()
        await asyncio.wait({saving})
        return CLEAN

    def _harm(self) -> None:
        life = self._life
        self._clock.ahead += life.jump
        if life.fsync_fails:
            self._disk.fail()
        if life.disk_full:
            self._disk.fill()

    async def _save(self) -> None:
        """Snapshots as often as a busy week makes them."""
        with contextlib.suppress(Exception):  # a lost disk is noticed by the loop itself
            while True:
                await asyncio.sleep(0.02)
                for session in self._loop.sessions.values():
                    await session.oms.save()

    def _settled(self) -> bool:
        return self._loop.phase()[0] is Phase.TRADING or self._halted()

    def _halted(self) -> bool:
        return self._loop.phase()[0] is Phase.HALTED

    def _nothing_rests(self) -> bool:
        return not any(s.oms.state.live for s in self._loop.sessions.values())

    async def _until(self, condition: Callable[[], bool]) -> bool:
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.002)
        return True

    def _note(self, **what: object) -> None:
        note(self._folder, **what)


def note(folder: Path, **what: object) -> None:
    """Add a line to the case's notes; survives being killed right after."""
    fd = os.open(folder / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, json.dumps(what).encode() + b"\n")
    os.close(fd)


def spawn(case: Case, life: Life, venue: ChaosVenue, folder: Path, *, cold_start: bool) -> int:
    """Fork a process that lives ``life``; its pid."""
    gc.freeze()
    pid = os.fork()
    if pid:
        return pid
    code = BROKEN
    try:
        tradepulse_runner.live.session.REQUEST_TIMEOUT = REQUEST_TIMEOUT
        log = os.open(folder / f"log.{life.number}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        logs.configure("chaos")
        logging.getLogger("asyncio").setLevel(logging.WARNING)
        code = asyncio.run(Runner(case, life, venue, folder).live(cold_start=cold_start))
    except StateError as error:
        note(folder, refused=str(error))
        code = REFUSED
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
