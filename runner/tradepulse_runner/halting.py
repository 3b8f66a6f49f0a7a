"""Stopping and going on again: the operator's orders, the kill switch, and the sweep that cancels.

The kill switch is latched on disk before anything else happens. While trading is stopped, for
whichever reason, the sweep cancels until nothing rests, then saves once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from tradepulse_runner.control import Directive, read_control
from tradepulse_runner.desk import Desk
from tradepulse_runner.errors import DurabilityLost
from tradepulse_runner.killswitch import KillSwitch
from tradepulse_runner.metrics import RunnerMetrics
from tradepulse_runner.signals import Signal
from tradepulse_runner.snapshot import Step, no_fault

log = logging.getLogger(__name__)
CONTROL_INTERVAL = 0.25
SWEEP_INTERVAL = 0.5


class Halting:
    """``halted`` says whether the loop's phase is HALTED; ``clock`` gives unix seconds."""

    def __init__(
        self,
        desk: Desk,
        state_dir: Path,
        control_dir: Path | None,
        metrics: RunnerMetrics,
        *,
        halted: Callable[[], bool],
        clock: Callable[[], float],
        step: Step = no_fault,
    ) -> None:
        self.on_kill_switch: Signal[[str]] = Signal()
        self.directive = Directive()
        self._desk, self._metrics = desk, metrics
        self._state_dir, self._control_dir = state_dir, control_dir
        self._halted, self._clock, self._step = halted, clock, step
        self._kill: KillSwitch | None = None
        self._drained = False

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
        self._metrics.kill_switch.set(int(self._kill.engaged))

    @property
    def kill_switch(self) -> tuple[bool, str]:
        """Engaged, and why."""
        return (self._kill.engaged, self._kill.reason) if self._kill else (False, "")

    @property
    def complete(self) -> bool:
        """Whether the halt that is asked for is done: nothing open, nothing unknown, saved."""
        return self.directive.halt and self._drained

    async def engage(self, reason: str) -> None:
        """Latch the kill switch, then drop what was not sent; the sweep cancels the rest."""
        if self._kill is None:
            return
        try:
            fresh = self._kill.engage(reason)
        except DurabilityLost as error:
            self._desk.fail_storage(error)
            fresh = True
        if fresh:
            self._metrics.kill_switch.set(1)
            self.on_kill_switch.emit(reason)
            self._desk.expire_queue(f"kill switch: {reason}")

    # -- workers ---------------------------------------------------------------------------

    async def watch(self) -> None:
        """Worker: follow the operator's orders and a person's reset."""
        while True:
            self._read_control()
            if self.directive.kill_switch:
                await self.engage(self.directive.kill_switch)
            else:
                self._notice_reset()
            await asyncio.sleep(CONTROL_INTERVAL)

    async def sweep(self) -> None:
        """Worker: while halted, cancel until nothing rests, then save once."""
        while True:
            if self._desk.storage_failure:
                await self._desk.cancel_unsettled()
            elif self._halted():
                await self._sweep_once()
            await asyncio.sleep(SWEEP_INTERVAL if self._drained else CONTROL_INTERVAL)

    async def _sweep_once(self) -> None:
        if self._desk.busy:
            self._drained = False
            await self._desk.cancel_all()
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

    def _notice_reset(self) -> None:
        """A person reset the latch on disk (`tradepulse-runner kill-switch reset`)."""
        if self._kill is None or not self._kill.engaged or self._desk.storage_failure:
            return
        found = KillSwitch(self._state_dir, clock=self._clock, step=self._step)
        # A named reset, not a file that went missing: that would open the latch by accident.
        if not found.engaged and found.reset_by:
            self._kill = found
            self._metrics.kill_switch.set(0)
            log.warning("live_loop.kill_switch_reset", extra={"by": found.reset_by})
            self._desk.distrust()
