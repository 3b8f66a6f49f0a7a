"""All venues at once: what is asked of, or done to, every session together.

A disk that is lost is noted here, in ``storage_failure``, and never forgotten: after it our books
can't be trusted, and the venue's own list is what orders are cancelled by.
"""

from __future__ import annotations

import contextlib
import logging

from tradepulse_runner.errors import DurabilityLost, OrderError
from tradepulse_runner.session import VenueSession
from tradepulse_runner.submission import Submitter

log = logging.getLogger(__name__)


class Desk:
    """The sessions by venue, and the submitter that sends to them."""

    def __init__(self) -> None:
        self.sessions: dict[str, VenueSession] = {}
        self.submitter: Submitter | None = None
        self.storage_failure = ""

    # -- reading ---------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether anything is on its way, rests, or may rest at a venue."""
        flying = self.submitter.in_flight if self.submitter else 0
        return bool(flying) or bool(self.live_orders())

    @property
    def reconciled(self) -> bool:
        return all(session.reconciled for session in self.sessions.values())

    def live_orders(self) -> list[str]:
        """Client ids of all orders that aren't closed."""
        return [r.client_id for s in self.sessions.values() for r in s.oms.state.live.values()]

    # -- doing -----------------------------------------------------------------------------

    def distrust(self) -> None:
        """Reconcile anew before anything is sent."""
        for session in self.sessions.values():
            session.reconciled = False
            session.wake.set()

    def expire_queue(self, reason: str) -> None:
        """Drop what was not sent yet."""
        if self.submitter is None:
            return
        try:
            self.submitter.expire_queue(reason)
        except DurabilityLost as error:
            self.fail_storage(error)

    async def cancel_all(self) -> None:
        """One sweep. A disk that is lost meanwhile is noted, not raised: callers go on."""
        try:
            for session in self.sessions.values():
                # Whatever is live needs the venue's next word, not the next regular poll.
                if session.oms.state.live:
                    session.wake.set()
                if session.reconciled:
                    await session.cancel_all()
        except* DurabilityLost as group:
            self.fail_storage(group)

    async def cancel_unsettled(self) -> None:
        """What our books cannot vouch for is cancelled by the venue's list."""
        for session in self.sessions.values():
            if self.storage_failure or session.oms.state.live or not session.reconciled:
                with contextlib.suppress(OrderError):
                    await session.ask(session.connector.connect())
                    await session.cancel_without_state()

    async def save(self) -> None:
        """A snapshot of every venue's book."""
        for session in self.sessions.values():
            try:
                await session.oms.save()
            except DurabilityLost as error:
                self.fail_storage(error)

    async def close(self) -> None:
        """Disconnect and close the files."""
        for session in self.sessions.values():
            await session.connector.disconnect()
            session.oms.close()

    def fail_storage(self, error: BaseException) -> None:
        """Note that the disk is lost; the first reason stays."""
        if not self.storage_failure:
            reason = _innermost(error)
            self.storage_failure = f"storage failed: {reason}"
            log.critical("live_loop.storage_failed", extra={"why": str(reason)})


def _innermost(error: BaseException) -> BaseException:
    """Groups nest as deep as the task groups did."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
