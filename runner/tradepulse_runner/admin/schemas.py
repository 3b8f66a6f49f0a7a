"""Requests and responses. Money and quantities are decimal strings, times unix seconds."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Decimal_ = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$")]


class Body(BaseModel):
    """A request body; unknown keys are refused."""

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
    """Resume trading."""

    reason: Reason = Field(
        description="What was wrong, and how it was resolved, in one line; recorded with the"
        " caller's name."
    )


class Entry(BaseModel):
    """One engagement or reset."""

    event: str = Field(description="`engaged` or `reset`.")
    at: float = Field(description="Unix seconds.")
    by: str = Field(description="Name of the person; empty: the runner itself.")
    reason: str = Field(description="The reason given.")


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
    """The kill switch as it is on disk, and the uncancelled orders."""

    engaged: bool
    reason: str = Field(description="Why it is engaged; empty while it isn't.")
    changed_at: float = Field(description="Last engagement or reset, unix seconds; 0: never.")
    history: list[Entry] = Field(description="The latest engagements and resets, oldest first.")
    complete: bool = Field(description="Engaged, and no order is left at any venue.")
    uncancelled_orders: int = Field(description="How many orders could not be cancelled yet.")
    uncancelled: list[Left] = Field(description="The first 20 of them.")


class Outcome(StrEnum):
    """Outcome of a request to the kill switch."""

    ENGAGED = "engaged"
    ALREADY_ENGAGED = "already-engaged"
    RESET = "reset"
    ALREADY_CLEAR = "already-clear"


class Changed(BaseModel):
    """Result of a change of the kill switch, which is on disk."""

    outcome: Outcome
    recorded: bool = Field(
        description="Whether the audit trail has the record; false: check the disk."
    )
    kill_switch: KillSwitchView


class ReleaseView(BaseModel):
    """The running release."""

    version: str
    revision: str


class OrderOf(BaseModel):
    """A halt or a reduction requested by the operator."""

    token: str = Field(description="Identifies the request; empty: none.")
    reason: str


class HaltView(OrderOf):
    """A halt requested by the operator."""

    complete: bool = Field(description="No order is open or unknown, and the state is saved.")


class StateView(BaseModel):
    """State of the process."""

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
    heartbeat: float = Field(description="Last iteration of the loop, unix seconds.")
    orders: dict[str, int] = Field(description="Order requests since the start, by outcome.")
    guard: dict[str, Any] = Field(description="The runner's own guardrails and measurements.")


class Position(BaseModel):
    """The position in one symbol."""

    symbol: str
    quantity: Decimal_ = Field(description="Base units; negative: short.")


class Book(BaseModel):
    """Positions at one venue, from the order book."""

    venue: str
    reconciled: bool = Field(description="Whether the venue confirmed it since it connected.")
    cash: Decimal_ = Field(description="Quote currency, change since the books began.")
    positions: list[Position]


class PositionsView(BaseModel):
    """Positions at all venues."""

    venues: list[Book]


class OrderView(BaseModel):
    """An open order."""

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
    """Open orders, oldest first."""

    total: int = Field(description="Total number.")
    orders: list[OrderView] = Field(description="The first `limit` of them.")


class SecretView(BaseModel):
    """A secret in use, without the secret."""

    generation: int = Field(description="Number of the secret since the start, from 1.")
    problem: str = Field(description="Why the current file is unusable; empty: it is usable.")


class AuditView(BaseModel):
    """The audit trail."""

    key_id: str = Field(description="Id of the signing key.")
    records: int = Field(description="Total number.")
    secret: SecretView


class SiemView(BaseModel):
    """The forwarding of the audit trail."""

    pending: int = Field(description="Records that the receiver has not acknowledged.")
    problem: str = Field(description="Why it is behind; empty: no problem known.")
    secret: SecretView


class HealthView(BaseModel):
    """Health of the components. Trading depends only on `storage` and `loop`."""

    loop: bool = Field(description="Whether the loop is running.")
    heartbeat_age: float = Field(description="Seconds since its last iteration.")
    storage: str = Field(description="Storage failure; empty: none.")
    audit: AuditView
    siem: SiemView | None = Field(default=None, description="Absent: nothing is forwarded.")
