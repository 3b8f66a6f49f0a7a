"""Halts and resumes: the operator's directives, the kill switch, and the sweep that cancels orders.

The kill switch is latched on disk before anything else happens. While trading is halted, for
whichever reason, the sweep cancels until no order rests, then saves a snapshot once. The kill
switch doesn't wait for a venue that is away or being reconciled: the others are swept at once, that
one's known orders are tried too, and what is left is listed. Its cancels aren't throttled.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from pathlib import Path

from tradepulse_runner.errors import DurabilityLost
from tradepulse_runner.live.control import Directive, read_control
from tradepulse_runner.live.kill_latch import KillLatch
from tradepulse_runner.live.killreport import KillReport, uncancelled
from tradepulse_runner.live.metrics import RunnerMetrics
from tradepulse_runner.live.phase import Decision, Phase
from tradepulse_runner.live.trading_state import TradingState
from tradepulse_runner.live.venue_sessions import VenueSessions

log = logging.getLogger(__name__)
#: Seconds between two looks at the control files and the latch: a command takes effect within 0.25
#: s.
CONTROL_INTERVAL = 0.1
#: Seconds between two sweeps while something is left to cancel, and while nothing is.
BUSY_INTERVAL = 0.25
SWEEP_INTERVAL = 0.5


class HaltController:
    """Carries out what ``state`` decides about halting and reducing, and feeds it the operator's
    directives. ``control_dir``: where they are mounted; None: there is no operator."""

    def __init__(
        self,
        venues: VenueSessions,
        state: TradingState,
        latch: KillLatch,
        report: KillReport,
        metrics: RunnerMetrics,
        *,
        control_dir: Path | None,
    ) -> None:
        self._venues, self._state, self._latch = venues, state, latch
        self._report = report
        self._control_dir = control_dir
        self._wake = asyncio.Event()
        latch.on_engaged.connect(self._engaged)
        latch.on_reset.connect(self._reset)
        state.on_change.connect(self._changed)
        metrics.follow_uncancelled(self._uncancelled_by_venue)
        metrics.follow_kill_switch(lambda: latch.engaged)

    def open(self, engaged: str) -> None:
        """Read the latch and the operator's directive. ``engaged``: why the configuration wants the
        switch engaged, or "". A halt that was requested while no process ran takes effect before
        the first order."""
        self._latch.open()
        if engaged:
            self._latch.engage(engaged)
        if wanted := self._read_control().kill_switch:
            self._latch.engage(wanted)
        self._venues.set_urgent(self._latch.engaged)
        self._publish()

    @property
    def all_cancelled(self) -> bool:
        """Whether it is engaged, every venue is reconciled, and no order of ours is left there."""
        return self._latch.engaged and self._state.facts.reconciled and not self._venues.busy

    @property
    def uncancelled(self) -> list[dict[str, str]]:
        """Orders that rest, or may rest, at the venues; empty while the switch isn't engaged."""
        return uncancelled(self._venues.sessions.values()) if self._latch.engaged else []

    def _uncancelled_by_venue(self) -> Counter[str]:
        return Counter(entry["venue"] for entry in self.uncancelled)

    # -- what changes ----------------------------------------------------------------------

    def _changed(self, _before: Decision, now: Decision) -> None:
        if now.phase in (Phase.HALTED, Phase.REDUCING):
            self._wake.set()

    def _engaged(self, reason: str) -> None:
        """Drop what was not sent; the sweep cancels the rest."""
        self._state.set_drained(False)
        self._venues.set_urgent(True)
        self._wake.set()
        self._venues.expire_queue(f"kill switch: {reason}")
        self._publish()

    def _reset(self) -> None:
        self._venues.set_urgent(False)
        self._venues.mark_unreconciled()

    def _publish(self) -> None:
        self._report.orders = self.uncancelled

    # -- workers ---------------------------------------------------------------------------

    async def watch(self) -> None:
        """Worker: follow the operator's directives, and changes of the latch by another process."""
        while True:
            if wanted := self._read_control().kill_switch:
                self._latch.engage(wanted)
            else:
                self._latch.follow()
            await asyncio.sleep(CONTROL_INTERVAL)

    async def sweep(self) -> None:
        """Worker: while halted, cancel until nothing rests, then save once. While reducing, cancel
        what could raise a position."""
        while True:
            facts, killed = self._state.facts, self._latch.engaged
            if facts.storage_failure:
                await self._venues.cancel_unsettled()
            elif killed or self._state.phase is Phase.HALTED:
                await self._sweep_once(unreconciled=killed)
            elif facts.reduce_reason:
                await self._venues.cancel_growing()
            await self._report_uncancelled()
            await self._pause()

    async def _pause(self) -> None:
        """Wait for the next sweep; a new halt, reduce or engagement ends the wait."""
        seconds = SWEEP_INTERVAL if self._state.facts.drained else BUSY_INTERVAL
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()

    async def _report_uncancelled(self) -> None:
        self._publish()
        switch = self._latch.switch
        if switch is None or not self._latch.engaged or self._state.facts.storage_failure:
            return
        try:
            await self._report.save(switch, complete=self.all_cancelled)
        except DurabilityLost as error:
            self._state.fail_storage(error)

    async def _sweep_once(self, *, unreconciled: bool) -> None:
        if self._venues.busy:
            self._state.set_drained(False)
            await self._venues.cancel_all(unreconciled=unreconciled)
        elif not self._state.facts.drained:
            asked = self._state.facts.directive
            await self._venues.save()
            # Saving took time: the answer must be about the halt that is asked for now.
            same = self._state.facts.directive == asked and self._state.phase is Phase.HALTED
            self._state.set_drained(same and not self._venues.busy)

    def _read_control(self) -> Directive:
        before, now = self._state.facts.directive, read_control(self._control_dir)
        if now == before:
            return now
        fresh_halt = now.halt and (not before.halt or now.token != before.token)
        if fresh_halt:
            self._state.set_drained(False)
        elif before.halt and not now.halt:
            log.warning("live_loop.resume")
            self._venues.mark_unreconciled()  # before the halt is lifted
        self._state.set_directive(now)
        if fresh_halt:
            log.warning("live_loop.halt", extra={"token": now.token, "why": now.reason})
            self._venues.expire_queue(f"halted: {now.reason}")
        if now.reduce:
            log.warning("live_loop.reduce", extra={"token": now.token, "why": now.reason})
            self._wake.set()
        return now
