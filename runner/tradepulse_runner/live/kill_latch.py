"""The kill switch in a running loop: on disk first, then in force, then its subscribers are called.

Every reason to stop everything engages it here; engaging is synchronous, so any code can do it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from tradepulse_runner.errors import DurabilityLost
from tradepulse_runner.files.snapshot import Step, no_fault
from tradepulse_runner.killswitch import KillSwitch, LatchWatch
from tradepulse_runner.live.signals import Signal
from tradepulse_runner.live.trading_state import TradingState

log = logging.getLogger(__name__)


class KillLatch:
    """The latch in ``state_dir``; before :meth:`open` only :meth:`engage_by` has an effect.
    ``clock`` gives unix seconds.

    ``on_engaged`` is emitted with the reason, once per engagement, after sending has stopped;
    ``on_reset`` when a person reset it.
    """

    def __init__(
        self,
        state_dir: Path,
        state: TradingState,
        *,
        clock: Callable[[], float],
        step: Step = no_fault,
    ) -> None:
        self.on_engaged: Signal[[str]] = Signal()
        self.on_reset: Signal[[]] = Signal()
        self.switch: KillSwitch | None = None
        self._state_dir, self._state = state_dir, state
        self._clock, self._step = clock, step
        self._watch = LatchWatch(state_dir, clock=clock, step=step)

    @property
    def engaged(self) -> bool:
        return self._state.facts.kill_switch is not None

    def open(self) -> None:
        """Read the latch: one that was engaged while no process ran is in force from now on."""
        self.switch = self._read()
        self._publish(self.switch)

    def engage(self, reason: str) -> None:
        """Latch on disk before anything else. A failed write is recorded as a storage failure, and
        the switch is engaged all the same; the first reason stays."""
        switch = self.switch
        if switch is None:
            return
        fresh = not switch.engaged
        try:
            switch.engage(reason)
        except DurabilityLost as error:
            self._state.fail_storage(error)
        finally:
            self._publish(switch)
        if fresh:
            self.on_engaged.emit(reason)

    def engage_by(self, reason: str, *, by: str) -> bool:
        """A person engages it; False when it was engaged already. Before :meth:`open` only the
        latch is written, which :meth:`open` reads. Raises :class:`DurabilityLost` for a failed
        write: it is engaged then all the same, until this process ends."""
        switch = self.switch or self._read()
        known = switch.engaged
        # After a lost disk the file may be older than what we know.
        lost = self._state.facts.storage_failure
        engage = switch.engage if lost else switch.engage_anew
        fresh = True
        try:
            fresh = engage(reason, by=by)
        except DurabilityLost as error:
            self._state.fail_storage(error)
            raise
        finally:
            if self.switch is not None:
                self._publish(switch)
                if fresh or not known:
                    self.on_engaged.emit(switch.reason)
        return fresh

    def on_disk(self) -> KillSwitch:
        """The latch as it is on disk, or, when the file is damaged or the disk failed, as it is in
        force."""
        read = self._read()
        doubtful = read.damaged or bool(self._state.facts.storage_failure)
        return self.switch if doubtful and self.switch is not None else read

    def follow(self) -> None:
        """Take over a change of the file by another process (`tradepulse-runner kill-switch`)."""
        if self.switch is None or self._state.facts.storage_failure:
            return  # after a lost disk the file may be older than what we know
        changed = self._watch.changed(self.switch)
        if changed is None:
            return
        self.switch = changed
        if changed.engaged:
            log.critical("live_loop.kill_switch_engaged", extra={"why": changed.reason})
            self._publish(changed)
            self.on_engaged.emit(changed.reason)
        else:
            log.warning("live_loop.kill_switch_reset", extra={"by": changed.reset_by})
            self.on_reset.emit()  # before it is shown: nothing leaves between the two
            self._publish(changed)

    def _read(self) -> KillSwitch:
        return KillSwitch(self._state_dir, clock=self._clock, step=self._step)

    def _publish(self, switch: KillSwitch) -> None:
        self._state.set_kill_switch(switch.reason if switch.engaged else None)
