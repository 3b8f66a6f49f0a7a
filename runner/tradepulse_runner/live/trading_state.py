"""Whether the runner may trade: facts in, one decision out.

Each fact has one owner, who sets it here the moment it changes. The decision is recomputed in the
same call, and subscribers are called when it differs; reading it is cheap. So the parts of the loop
depend on this and not on one another.
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
    subscriber may read all of the state, but must not set a fact.
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
            self._decide()  # the lease ran out, which no call reports
        return self._decision

    @property
    def phase(self) -> Phase:
        return self.decision.phase

    @property
    def refusal(self) -> str | None:
        """Why no order may be sent; None while at least reducing orders may."""
        return self.decision.refusal

    @property
    def reducing(self) -> bool:
        """Whether only orders that reduce a position may be sent."""
        return self.decision.phase is Phase.REDUCING

    # -- set by the owners -----------------------------------------------------------------

    def set_waiting(self, waiting: bool) -> None:
        """Whether the start waits for the writer lease, before the state is loaded."""
        self._set(replace(self._facts, waiting=waiting))

    def set_started(self) -> None:
        """The state is loaded."""
        self._set(replace(self._facts, started=True))

    def set_stopping(self) -> None:
        """The process shuts down; never unset."""
        self._set(replace(self._facts, stopping=True))

    def set_lease(self, lease: Candidate) -> None:
        """The writer lease as this process sees it."""
        self._set(replace(self._facts, lease=lease))

    def set_venue(self, name: str, *, reconciled: bool) -> None:
        """Whether our book agrees with the venue's; a venue that was reconciled before stays
        known."""
        before = self._facts.venues.get(name, VenueFacts())
        fact = VenueFacts(reconciled, before.known or reconciled)
        self._set(replace(self._facts, venues={**self._facts.venues, name: fact}))

    def set_kill_switch(self, reason: str | None) -> None:
        """Why it is engaged; None: it isn't. Set after it is on disk."""
        self._set(replace(self._facts, kill_switch=reason))

    def set_directive(self, directive: Directive) -> None:
        """The operator's directive."""
        self._set(replace(self._facts, directive=directive))

    def set_drained(self, drained: bool) -> None:
        """Whether nothing is open or unknown any more, and that is saved."""
        self._set(replace(self._facts, drained=drained))

    def set_guard(self, *, halt: str = "", reduce: str = "") -> None:
        """Why the guard halts trading, or lets it only reduce; "" each: it doesn't."""
        self._set(replace(self._facts, guard_halt=halt, guard_reduce=reduce))

    def set_soft_loss(self, why: str) -> None:
        """Why the day's loss allows reducing orders only; "": it doesn't."""
        self._set(replace(self._facts, soft_loss=why))

    def fail_storage(self, error: BaseException) -> None:
        """A write failed, which is final: the first reason stays. From then on the order books
        can't be trusted, and orders are cancelled by the venue's own list."""
        if not self._facts.storage_failure:
            reason = _innermost(error)
            self._set(replace(self._facts, storage_failure=f"storage failed: {reason}"))
            log.critical("live_loop.storage_failed", extra={"why": str(reason)})

    def _set(self, facts: Facts) -> None:
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
