"""Every error that the runner raises deliberately.

The venue branch follows one question: *may the order be live at the venue?*
``OrderRejected`` means certainly not; ``OutcomeUnknown`` means perhaps, and only a query decides.
"""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar


class RunnerError(Exception):
    """Base of all deliberate errors; its text is meant for the person on call."""

    exit_code: ClassVar[int] = 1  # of the process that it ends


class ConfigError(RunnerError):
    """The configuration file is unusable. Text names file, field, value and remedy."""


class StateError(RunnerError):
    """The state directory is unusable as it is. Text names the file and the remedy."""


class RestoreRefused(StateError):
    """The backup on the volume isn't the expected one; a retry can't succeed."""


class SnapshotDamaged(StateError):
    """A snapshot file does not parse or its checksum does not match."""


class SchemaTooNew(StateError):
    """A file was written by a newer binary; reading it here could lose fields silently."""


class DurabilityLost(RunnerError):
    """A write or fsync failed. After a failed fsync the kernel may have dropped the pages,
    so a later success proves nothing: the process must stop trading and never retry."""


class ObjectStoreError(RunnerError):
    """A request to the object store failed. The text contains no credentials."""


class BusError(RunnerError):
    """The brokers refused a request or did not answer. The text contains no secrets."""


class RiskRejected(RunnerError):
    """The order broke a limit and was never sent.

    ``rule`` is the limit's short name (the ``outcome`` label of
    ``tradepulse_risk_validations_total``). ``times``: the requested value as a multiple of the
    limit, for limits on a single order; else 0.
    """

    def __init__(self, rule: str, message: str, *, times: Decimal = Decimal(0)) -> None:
        super().__init__(message)
        self.rule = rule
        self.times = times


class NotTrading(RiskRejected):
    """The loop is halted, reconciling, stopping, or its kill switch is engaged."""


class OrderError(RunnerError):
    """A request about an order failed."""


class OrderRejected(OrderError):
    """The venue answered and refused: the order does not exist there."""


class VenueThrottled(OrderRejected):
    """The venue refused for too many requests; retrying before ``retry_after`` seconds have
    passed risks a ban."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CredentialsRefused(OrderRejected):
    """The venue refused our API key or signature, and no newer credentials are available."""


class OrderNotFound(OrderError):
    """The venue reports no such order (it may still appear: see ``outcome_horizon``)."""


class OutcomeUnknown(OrderError):
    """No answer, or an inconclusive one (timeout, 5xx, Binance -1006, -1007)."""


class VenueDisconnected(OrderError):
    """The connection is gone; nothing may be assumed about requests in flight."""
