"""What the runner knows about whether it may trade: facts in, one decision out.

Each fact has one owner, who tells it here the moment it changes. The decision is made anew then,
before anybody else can run, and whoever subscribed is told when it differs; reading it costs
nothing. So the parts of the loop know this and not one another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from tradepulse_runner.lease.decisions import Candidate
from tradepulse_runner.lease.writer import boot_time
from tradepulse_runner.live.control import Directive
from tradepulse_runner.live.phase import Decision, Facts, Phase, VenueFacts, decide
from tradepulse_runner.live.signals import Signal

log = logging.getLogger(__name__)


class TradingState:
    """``clock``: seconds of the clock that the writer lease is kept by.

    ``on_change`` is emitted with the decision before and the one in force, once a change: a
    subscriber may read all of the state, but tells no facts.
    """

    def __init__(
        self, *, others_may_reduce: bool = False, clock: Callable[[], float] = boot_time
    ) -> None:
        self.on_change: Signal[[Decision, Decision]] = Signal()
        self._clock = clock
        self._facts = Facts(others_may_reduce=others_may_reduce)
        self._decision = decide(self._facts, clock())

    # -- reading ---------------------------------------------------------------------------

    @property
    def facts(self) -> Facts:
        return self._facts

    @property
    def decision(self) -> Decision:
        """The one in force at this moment."""
        if self._clock() >= self._decision.until:
            self._decide()  # the lease ran out, though nobody came to tell
        return self._decision

    @property
    def phase(self) -> Phase:
        return self.decision.phase

    @property
    def refusal(self) -> str | None:
        """Why no order may leave; None while those may, at least, that reduce a position."""
        return self.decision.refusal

    @property
    def reducing(self) -> bool:
        """Whether only what reduces a position may leave."""
        return self.decision.phase is Phase.REDUCING

    # -- what the owners tell --------------------------------------------------------------

    def set_waiting(self, waiting: bool) -> None:
        """For the writer lease, before the state is loaded."""
        self._tell(replace(self._facts, waiting=waiting))

    def set_started(self) -> None:
        """The state is loaded."""
        self._tell(replace(self._facts, started=True))

    def set_stopping(self) -> None:
        """The process shuts down; nothing ends that."""
        self._tell(replace(self._facts, stopping=True))

    def set_lease(self, lease: Candidate) -> None:
        """What is known of the writer lease."""
        self._tell(replace(self._facts, lease=lease))

    def set_venue(self, name: str, *, reconciled: bool) -> None:
        """Whether our book agrees with the venue's; what was reconciled once stays known."""
        before = self._facts.venues.get(name, VenueFacts())
        fact = VenueFacts(reconciled, before.known or reconciled)
        self._tell(replace(self._facts, venues={**self._facts.venues, name: fact}))

    def set_kill_switch(self, reason: str | None) -> None:
        """Why it is engaged; None: it isn't. Told after it is on disk."""
        self._tell(replace(self._facts, kill_switch=reason))

    def set_directive(self, directive: Directive) -> None:
        """What the operator asks for."""
        self._tell(replace(self._facts, directive=directive))

    def set_drained(self, drained: bool) -> None:
        """Whether nothing is open or unknown any more, and that is saved."""
        self._tell(replace(self._facts, drained=drained))

    def set_guard(self, *, halt: str = "", reduce: str = "") -> None:
        """Why the guard restrains trading."""
        self._tell(replace(self._facts, guard_halt=halt, guard_reduce=reduce))

    def set_soft_loss(self, why: str) -> None:
        """Why the day's loss lets only what reduces leave."""
        self._tell(replace(self._facts, soft_loss=why))

    def fail_storage(self, error: BaseException) -> None:
        """The disk is lost, for good: the first reason stays. After it our books can't be trusted,
        and the venue's own list is what orders are cancelled by."""
        if not self._facts.storage_failure:
            reason = _innermost(error)
            self._tell(replace(self._facts, storage_failure=f"storage failed: {reason}"))
            log.critical("live_loop.storage_failed", extra={"why": str(reason)})

    def _tell(self, facts: Facts) -> None:
        self._facts = facts
        self._decide()

    def _decide(self) -> None:
        before, self._decision = self._decision, decide(self._facts, self._clock())
        if (before.phase, before.why) != (self._decision.phase, self._decision.why):
            self.on_change.emit(before, self._decision)


def _innermost(error: BaseException) -> BaseException:
    """Groups nest as deep as the task groups did."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
