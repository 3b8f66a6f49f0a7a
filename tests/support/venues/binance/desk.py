"""What every endpoint works with, and how endpoints are described."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.venues.binance.limits import Limits
from tests.support.venues.binance.params import Params
from tests.support.venues.binance.tape import Tape
from tests.support.venues.exchange import Exchange


@dataclass(slots=True)
class Desk:
    """The exchange, and what Binance remembers beyond it.

    ``cancel_ids``: by order id, the id that its cancel was given.
    """

    exchange: Exchange
    tape: Tape
    limits: Limits
    clock: Callable[[], float]
    cancel_ids: dict[int, str] = field(default_factory=dict)
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    async def hold(self, seconds: float) -> None:
        """Wait so long, or until the venue closes."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.closing.wait(), seconds)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that has passed: parameters, and whose it is ("" when nobody had to sign)."""

    params: Params
    account: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``fault``: the kind of request that a fault names (tests/support/venues/faults.py)."""

    act: Callable[[Desk, Call], Any]
    weight: int | Callable[[Params], int]
    fault: str
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    signed: bool = True
    counts_as_order: bool = False

    def cost(self, params: Params) -> int:
        return self.weight if isinstance(self.weight, int) else self.weight(params)
