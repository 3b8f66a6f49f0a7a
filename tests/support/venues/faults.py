"""What a venue can be made to do wrong, and when. Knows no protocol: the servers ask here at each
request and each stream message, and do it in their own words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Generic, TypeVar


class FaultKind(StrEnum):
    # Of a request.
    TIMEOUT_AFTER_ACCEPT = "timeout_after_accept"  # done, but no answer comes
    TIMEOUT_BEFORE_ACCEPT = "timeout_before_accept"  # not done, and no answer comes
    ERROR_AFTER_ACCEPT = "error_after_accept"  # done, but a 5xx answers (Binance -1007)
    ERROR_BEFORE_ACCEPT = "error_before_accept"  # not done, a 5xx answers (Binance -1006)
    RESET_AFTER_ACCEPT = "reset_after_accept"  # done, but the connection is reset
    THROTTLE = "throttle"  # 429 with Retry-After
    BAN = "ban"  # 418 with Retry-After (where a venue has that; else as throttle)
    DELAY = "delay"  # carried out and answered `seconds` later
    DUPLICATE_ACK = "duplicate_ack"  # said twice: a WebSocket answer or a stream message
    # Of a stream.
    DROP_FILLS = "drop_fills"  # the next fills are not told of
    REORDER_STREAM = "reorder_stream"  # a message comes after the one that follows it
    CUT_STREAM = "cut_stream"  # announced where the protocol does so, then closed
    SILENCE_STREAM = "silence_stream"  # for `seconds` the connection lives and says nothing


STREAM = "stream"
REQUESTS = frozenset({"place", "cancel", "query", "open_orders", "trades", "account", "market"})
STREAM_KINDS = frozenset(
    {
        FaultKind.DROP_FILLS,
        FaultKind.REORDER_STREAM,
        FaultKind.CUT_STREAM,
        FaultKind.SILENCE_STREAM,
        FaultKind.DUPLICATE_ACK,
    }
)
REQUEST_KINDS = frozenset(FaultKind) - STREAM_KINDS | {FaultKind.DUPLICATE_ACK}


@dataclass(frozen=True, slots=True)
class Fault:
    """``on``: a kind of request, "any" of them, or "stream". It strikes ``times`` times (-1: till
    cleared) after letting ``after`` occasions pass. ``seconds``: how long a delay, a silence, or
    an unanswered request lasts, or what Retry-After says."""

    on: str
    kind: str
    times: int = 1
    after: int = 0
    seconds: float = 30.0

    def __post_init__(self) -> None:
        kinds = STREAM_KINDS if self.on == STREAM else REQUEST_KINDS
        if self.on not in REQUESTS | {STREAM, "any"}:
            known = ", ".join(sorted(REQUESTS | {STREAM, "any"}))
            raise ValueError(f"a fault is on one of {known}, not on {self.on!r}")
        if self.kind not in kinds:
            raise ValueError(
                f"no fault {self.kind!r} on {self.on}: take one of {', '.join(sorted(kinds))}"
            )

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> Fault:
        """From JSON. Raises ValueError that names what is wrong."""
        try:
            return cls(**raw)
        except TypeError as error:
            raise ValueError(f"a fault has on, kind, times, after, seconds: {error}") from None


@dataclass(slots=True)
class Faults:
    """Faults that wait for their occasion; ``fired`` are those that struck, in order.
    ``listeners`` are called with each that is added."""

    pending: list[Fault] = field(default_factory=list)
    fired: list[Fault] = field(default_factory=list)
    listeners: list[Callable[[Fault], None]] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        self.pending.append(fault)
        for listener in self.listeners:
            listener(fault)

    def clear(self) -> None:
        self.pending.clear()

    def take(self, on: str, *kinds: FaultKind) -> Fault | None:
        """The fault that strikes this occasion, if any. With ``kinds``, only these look at it."""
        for index, fault in enumerate(self.pending):
            if not _concerns(fault, on) or (kinds and fault.kind not in kinds):
                continue
            if fault.after > 0:
                self.pending[index] = replace(fault, after=fault.after - 1)
                continue
            if fault.times == 1:
                del self.pending[index]
            elif fault.times > 0:
                self.pending[index] = replace(fault, times=fault.times - 1)
            self.fired.append(fault)
            return fault
        return None


def _concerns(fault: Fault, on: str) -> bool:
    return fault.on == on or (fault.on == "any" and on != STREAM)


Message = TypeVar("Message")


class Outlet(Generic[Message]):
    """What a subscriber's stream passes on of what there is to say: all of it, unless a fault
    drops, repeats or reorders it. Cuts and silences are the server's own doing."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._held: list[Message] = []

    def pass_on(self, message: Message, *, fill: bool) -> list[Message]:
        """What to send now, in order."""
        if fill and self._faults.take(STREAM, FaultKind.DROP_FILLS):
            return []
        if self._held:
            held, self._held = self._held, []
            return [message, *held]
        if self._faults.take(STREAM, FaultKind.REORDER_STREAM):
            self._held.append(message)
            return []
        if self._faults.take(STREAM, FaultKind.DUPLICATE_ACK):
            return [message, message]
        return [message]
