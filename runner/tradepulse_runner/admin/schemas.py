"""What goes in and comes out. Money and quantities are decimal strings, times unix seconds."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Decimal_ = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$")]


class Body(BaseModel):
    """What is sent in: unknown keys refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


Reason = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=1024,
        pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$",
    ),
]


class Engage(Body):
    """Stop trading."""

    reason: Reason = Field(
        description="Why trading stops, in one line; recorded with the caller's name."
    )


class Reset(Body):
    """Let trading go on."""

    reason: Reason = Field(
        description="What was wrong, and why it is over, in one line; recorded with the caller's"
        " name, who answers for it."
    )


class Entry(BaseModel):
    """One engagement or reset."""

    event: str = Field(description="`engaged` or `reset`.")
    at: float = Field(description="When.")
    by: str = Field(description="Who; empty: the runner itself.")
    reason: str = Field(description="Why.")


class Left(BaseModel):
    """An order that could not be cancelled yet."""

    venue: str
    order: str = Field(description="Our id.")
    venue_id: str = Field(description="The venue's id; empty while unknown.")
    symbol: str
    side: str
    remaining: Decimal_
    status: str
    algo: str
    owner: str
    why: str = Field(description="Why it wasn't cancelled.")


class KillSwitchView(BaseModel):
    """The kill switch as it is on disk, and what is left at the venues."""

    engaged: bool
    reason: str = Field(description="Why it is engaged; empty while it isn't.")
    changed_at: float = Field(description="When it was engaged or reset last; 0: never.")
    history: list[Entry] = Field(description="The latest engagements and resets, oldest first.")
    complete: bool = Field(description="Engaged, and nothing of ours is left at any venue.")
    uncancelled_orders: int = Field(description="How many orders could not be cancelled yet.")
    uncancelled: list[Left] = Field(description="The first 20 of them.")


class Outcome(StrEnum):
    """What became of a request to the kill switch."""

    ENGAGED = "engaged"
    ALREADY_ENGAGED = "already-engaged"
    RESET = "reset"
    ALREADY_CLEAR = "already-clear"


class Changed(BaseModel):
    """The answer to a change of the kill switch, given once it is on disk."""

    outcome: Outcome
    recorded: bool = Field(description="Whether the audit trail holds it; false: look at the disk.")
    kill_switch: KillSwitchView


class ReleaseView(BaseModel):
    """The program that runs."""

    version: str
    revision: str


class OrderOf(BaseModel):
    """A halt or a reduction that the operator asks for."""

    token: str = Field(description="Names it; empty: not asked for.")
    reason: str


class HaltView(OrderOf):
    """A halt that the operator asks for."""

    complete: bool = Field(description="Done: nothing open, nothing unknown, saved.")


class StateView(BaseModel):
    """The process's own word."""

    release: ReleaseView
    config_hash: str
    state: str = Field(description="STARTING, WAITING, RECONCILING, TRADING, REDUCING, HALTED…")
    trading_state: str = Field(description="ACTIVE, REDUCING or HALTED.")
    why: str = Field(description="Why it isn't TRADING; empty while it is.")
    halt: HaltView
    reduce: OrderOf
    kill_switch_engaged: bool
    kill_switch_reason: str
    open_orders: int
    unknown_orders: int = Field(description="Sent, and whether the venue has them is not known.")
    writer_epoch: int
    heartbeat: float = Field(description="When the loop turned last.")
    orders: dict[str, int] = Field(description="Order requests since the start, by outcome.")
    guard: dict[str, Any] = Field(description="What the runner measured of itself.")


class Position(BaseModel):
    """What is held of one symbol."""

    symbol: str
    quantity: Decimal_ = Field(description="Base units; negative: short.")


class Book(BaseModel):
    """Positions at one venue, as our books have them."""

    venue: str
    reconciled: bool = Field(description="Whether the venue confirmed it since it connected.")
    cash: Decimal_ = Field(description="Quote currency, change since the books began.")
    positions: list[Position]


class PositionsView(BaseModel):
    """Positions at all venues."""

    venues: list[Book]


class OrderView(BaseModel):
    """An order that isn't closed."""

    venue: str
    order: str = Field(description="Our id.")
    venue_id: str
    symbol: str
    side: str
    type: str
    quantity: Decimal_
    price: Decimal_ | None = Field(description="Absent for a market order.")
    filled: Decimal_
    status: str
    sent_at: float
    algo: str
    owner: str


class OrdersView(BaseModel):
    """Orders that aren't closed, oldest first."""

    total: int = Field(description="How many there are.")
    orders: list[OrderView] = Field(description="The first `limit` of them.")


class SecretView(BaseModel):
    """A secret in use, without the secret."""

    generation: int = Field(description="Counts replacements since the start, from 1.")
    problem: str = Field(description="Why what lies there now can't be used; empty: it can.")


class AuditView(BaseModel):
    """The audit trail."""

    key_id: str = Field(description="Which key signs.")
    records: int = Field(description="How many there are.")
    secret: SecretView


class SiemView(BaseModel):
    """The forwarding of the audit trail."""

    pending: int = Field(description="Records that the receiver has not acknowledged.")
    problem: str = Field(description="Why it is behind; empty: it isn't, or not known yet.")
    secret: SecretView


class HealthView(BaseModel):
    """Whether the parts work. Trading needs none but `storage` and `loop`."""

    loop: bool = Field(description="The loop turns.")
    heartbeat_age: float = Field(description="Seconds since it turned last.")
    storage: str = Field(description="Why the disk can't be trusted; empty: it can.")
    audit: AuditView
    siem: SiemView | None = Field(default=None, description="Absent: nothing is forwarded.")
