"""Stopping and going on again: the operator's orders, the kill switch, and the sweep that cancels.

The kill switch is latched on disk before anything else happens. While trading is stopped, for
whichever reason, the sweep cancels until nothing rests, then saves once. The kill switch doesn't
wait for a venue that is away or being reconciled: the others are swept at once, that one's known
orders are tried too, and what is left is listed. Its cancels pass no throttle.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tradepulse_runner.errors import DurabilityLost
from tradepulse_runner.files.snapshot import Step, no_fault
from tradepulse_runner.killswitch import KillSwitch, LatchWatch
from tradepulse_runner.live.control import Directive, read_control
from tradepulse_runner.live.desk import Desk
from tradepulse_runner.live.killreport import KillReport, uncancelled
from tradepulse_runner.live.metrics import RunnerMetrics
from tradepulse_runner.live.signals import Signal

log = logging.getLogger(__name__)
#: Seconds between two looks at the control files and the latch: a command is obeyed within 0.25 s.
CONTROL_INTERVAL = 0.1
#: Seconds between two sweeps while something is left to cancel, and while nothing is.
BUSY_INTERVAL = 0.25
SWEEP_INTERVAL = 0.5


class Halting:
    """``halted`` says whether the loop's phase is HALTED, ``reducing`` whether a person or a loss
    wants positions reduced; ``clock`` gives unix seconds."""

    def __init__(
        self,
        desk: Desk,
        state_dir: Path,
        control_dir: Path | None,
        metrics: RunnerMetrics,
        *,
        halted: Callable[[], bool],
        reducing: Callable[[], bool],
        clock: Callable[[], float],
        step: Step = no_fault,
    ) -> None:
        self.on_kill_switch: Signal[[str]] = Signal()
        self.directive = Directive()
        self._desk, self._metrics = desk, metrics
        self._state_dir, self._control_dir = state_dir, control_dir
        self._halted, self._reducing = halted, reducing
        self._clock, self._step = clock, step
        self._kill: KillSwitch | None = None
        self._latch = LatchWatch(state_dir, clock=clock, step=step)
        self._wake = asyncio.Event()
        self._drained = False
        self.report = KillReport(state_dir, clock=clock)
        metrics.follow_uncancelled(lambda: Counter(one["venue"] for one in self.uncancelled))

    # -- what is asked for -----------------------------------------------------------------

    async def open(self, engaged: str) -> None:
        """Read the latch and the operator's orders. ``engaged``: why the configuration wants the
        switch engaged, or "". A halt ordered while nobody ran comes before the first order."""
        self._kill = KillSwitch(self._state_dir, clock=self._clock, step=self._step)
        if engaged:
            await self.engage(engaged)
        self._read_control()
        if self.directive.kill_switch:
            await self.engage(self.directive.kill_switch)
        self._desk.hurry(self._kill.engaged)
        self._show()

    @property
    def kill_switch(self) -> tuple[bool, str]:
        """Engaged, and why."""
        return (self._kill.engaged, self._kill.reason) if self._kill else (False, "")

    @property
    def complete(self) -> bool:
        """Whether the halt that is asked for is done: nothing open, nothing unknown, saved."""
        return self.directive.halt and self._drained

    @property
    def all_cancelled(self) -> bool:
        """Engaged, every venue's truth known, and nothing of ours left there."""
        return bool(
            self._kill and self._kill.engaged and self._desk.reconciled and not self._desk.busy
        )

    @property
    def uncancelled(self) -> list[dict[str, str]]:
        """What is left at the venues, or may be; empty while the switch isn't engaged."""
        return uncancelled(self._desk.sessions.values()) if self.kill_switch[0] else []

    async def engage(self, reason: str) -> None:
        """Latch the kill switch, then drop what was not sent; the sweep cancels the rest."""
        self.latch(reason)

    def latch(self, reason: str) -> None:
        """:meth:`engage`, from code that can't wait."""
        if self._kill is None:
            return
        try:
            fresh = self._kill.engage(reason)
        except DurabilityLost as error:
            self._desk.fail_storage(error)
            fresh = True
        if fresh:
            self._engaged(reason)

    def engage_by(self, reason: str, *, by: str) -> bool:
        """A person engages it; False when it was engaged already. Before :meth:`open` only the
        latch is written, which that reads. Raises :class:`DurabilityLost` when the disk refuses:
        it is engaged then all the same, until this process ends."""
        kill = self._kill or KillSwitch(self._state_dir, clock=self._clock, step=self._step)
        known = kill.engaged
        # After a lost disk the file may be older than what we know.
        engage = kill.engage if self._desk.storage_failure else kill.engage_anew
        fresh = True
        try:
            fresh = engage(reason, by=by)
        except DurabilityLost as error:
            self._desk.fail_storage(error)
            raise
        finally:
            if self._kill is not None and (fresh or not known):
                self._engaged(kill.reason)
        return fresh

    def latch_now(self) -> KillSwitch:
        """The latch as it is on disk, or, when that can't be believed, as it is in force."""
        found = KillSwitch(self._state_dir, clock=self._clock, step=self._step)
        doubtful = found.damaged or bool(self._desk.storage_failure)
        return self._kill if doubtful and self._kill is not None else found

    def _engaged(self, reason: str) -> None:
        self._drained = False
        self._desk.expire_queue(f"kill switch: {reason}")
        self._desk.hurry(True)
        self._wake.set()
        self._show()
        self.on_kill_switch.emit(reason)

    def _show(self) -> None:
        self.report.orders = self.uncancelled
        self._metrics.kill_switch.set(int(self.kill_switch[0]))

    # -- workers ---------------------------------------------------------------------------

    async def watch(self) -> None:
        """Worker: follow the operator's orders, and what a person does to the latch."""
        while True:
            self._read_control()
            if self.directive.kill_switch:
                self.latch(self.directive.kill_switch)
            else:
                self._look_at_latch()
            await asyncio.sleep(CONTROL_INTERVAL)

    async def sweep(self) -> None:
        """Worker: while halted, cancel until nothing rests, then save once. While reducing, cancel
        what could raise a position."""
        while True:
            killed, _ = self.kill_switch
            if self._desk.storage_failure:
                await self._desk.cancel_unsettled()
            elif killed or self._halted():
                await self._sweep_once(unreconciled=killed)
            elif self._reducing():
                await self._desk.cancel_growing()
            await self._list_left()
            await self._pause(SWEEP_INTERVAL if self._drained else BUSY_INTERVAL)

    async def _pause(self, seconds: float) -> None:
        """A kill switch that is engaged meanwhile is obeyed at once."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()

    async def _list_left(self) -> None:
        self._show()
        if self._kill is None or not self._kill.engaged or self._desk.storage_failure:
            return
        try:
            await self.report.save(self._kill, complete=self.all_cancelled)
        except DurabilityLost as error:
            self._desk.fail_storage(error)

    async def _sweep_once(self, *, unreconciled: bool) -> None:
        if self._desk.busy:
            self._drained = False
            await self._desk.cancel_all(unreconciled=unreconciled)
        elif not self._drained:
            asked = self.directive
            await self._desk.save()
            # Saving took time: the answer must be about the halt that is asked for now.
            halted = self._halted() and asked == self.directive
            self._drained = halted and not self._desk.busy

    def _read_control(self) -> None:
        found, before = read_control(self._control_dir), self.directive
        self.directive = found
        if found.halt and (not before.halt or found.token != before.token):
            self._drained = False
            log.warning("live_loop.halt", extra={"token": found.token, "why": found.reason})
            self._desk.expire_queue(f"halted: {found.reason}")
        elif before.halt and not found.halt:
            log.warning("live_loop.resume")
            self._desk.distrust()
        if found.reduce and found != before:
            log.warning("live_loop.reduce", extra={"token": found.token, "why": found.reason})
            self._wake.set()

    def _look_at_latch(self) -> None:
        """A person engaged or reset it on disk (`tradepulse-runner kill-switch`)."""
        if self._kill is None or self._desk.storage_failure:
            return  # after a lost disk the file may be older than what we know
        found = self._latch.changed(self._kill)
        if found is None:
            return
        self._kill = found
        if found.engaged:
            log.critical("live_loop.kill_switch_engaged", extra={"why": found.reason})
            self._engaged(found.reason)
        else:
            log.warning("live_loop.kill_switch_reset", extra={"by": found.reset_by})
            self._desk.hurry(False)
            self._desk.distrust()
            self._show()
