"""Every error the runner raises on purpose, in one place.

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
    """What is on the volume isn't the backup that was made: trying again doesn't change that."""


class SnapshotDamaged(StateError):
    """A snapshot file does not parse or its checksum does not match."""


class SchemaTooNew(StateError):
    """A file was written by a newer binary; reading it here could lose fields silently."""


class DurabilityLost(RunnerError):
    """A write or fsync failed. After a failed fsync the kernel may have dropped the pages,
    so a later success proves nothing: the process must stop trading and never retry."""


class ObjectStoreError(RunnerError):
    """The object store gave no good answer. Says nothing that a request was signed with."""


class BusError(RunnerError):
    """The event bus took something not, or gave no answer. Says nothing of a secret."""


class RiskRejected(RunnerError):
    """The order broke a limit and was never sent.

    ``rule`` is the limit's short name (the ``outcome`` label of
    ``tradepulse_risk_validations_total``). ``times``: how many times the limit was asked for, where
    the limit is one of the order alone; else 0.
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
    """The venue refused for too many requests; asking again before ``retry_after`` seconds have
    passed makes it worse (a ban)."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CredentialsRefused(OrderRejected):
    """The venue knows neither our key nor our signature, and no newer credentials are there."""


class OrderNotFound(OrderError):
    """The venue answered that it knows no such order (yet: see ``outcome_horizon``)."""


class OutcomeUnknown(OrderError):
    """No answer, or one that does not settle it (timeout, 5xx, -1006, -1007)."""


class VenueDisconnected(OrderError):
    """The connection is gone; nothing may be assumed about requests in flight."""
