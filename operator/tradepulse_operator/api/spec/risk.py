"""Limits that no order may pass."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from tradepulse_operator.api.base import Model, required, rule
from tradepulse_operator.api.units import Amount, Share

_WHY = "(RTS 6, art. 8)"


class Risk(Model):
    """Limits that no order may pass; a runner without limits is refused (RTS 6, art. 8)."""

    cel = (
        rule(
            "quantity(self.maxOrderNotional).compareTo(quantity(self.maxNotional)) <= 0",
            "maxOrderNotional must not be above maxNotional, such an order could never be sent:"
            " lower it",
            ".maxOrderNotional",
            holds=lambda it: Decimal(it.max_order_notional) <= Decimal(it.max_notional),
            needs=["maxOrderNotional", "maxNotional"],
        ),
        rule(
            "!has(self.softDailyLoss)"
            " || quantity(self.softDailyLoss).compareTo(quantity(self.maxDailyLoss)) < 0",
            "softDailyLoss must be below maxDailyLoss, which stops trading altogether: lower it",
            ".softDailyLoss",
            holds=lambda it: (
                it.soft_daily_loss is None
                or Decimal(it.soft_daily_loss) < Decimal(it.max_daily_loss)
            ),
            needs=["maxDailyLoss"],
        ),
        rule(
            "!has(self.killSwitchLimitMultiplier)"
            " || quantity(self.killSwitchLimitMultiplier).compareTo(quantity('1')) >= 0",
            "killSwitchLimitMultiplier must be at least 1, below it an order that keeps its limits"
            " would count as absurd: raise it",
            ".killSwitchLimitMultiplier",
            holds=lambda it: (
                it.kill_switch_limit_multiplier is None
                or Decimal(it.kill_switch_limit_multiplier) >= 1
            ),
        ),
        rule(
            "has(self.maxDuplicates) == has(self.duplicateWindowSeconds)",
            "maxDuplicates and duplicateWindowSeconds belong together: set both or none",
            ".maxDuplicates",
            holds=lambda it: (it.max_duplicates is None) == (it.duplicate_window_seconds is None),
        ),
    )

    max_position: Amount = Field(
        description="Largest position per symbol, in base units.",
        json_schema_extra=required(f'set the largest position per symbol, e.g. "5" {_WHY}'),
    )
    max_notional: Amount = Field(
        description="Largest total exposure, in quote currency.",
        json_schema_extra=required(f'set the largest total exposure, e.g. "500000" {_WHY}'),
    )
    max_order_notional: Amount = Field(
        description="Largest single order, in quote currency.",
        json_schema_extra=required(f'set the largest single order, e.g. "20000" {_WHY}'),
    )
    max_orders_per_interval: Annotated[int, Field(ge=1, le=100_000)] = Field(
        description="Orders per interval that may leave the runner, and as many cancels; what the"
        " kill switch or a halt cancels is never held back.",
        json_schema_extra=required(f"set how many orders may leave per interval, e.g. 60 {_WHY}"),
    )
    interval_seconds: Annotated[int, Field(ge=1, le=3600)] = Field(
        default=1, description="Length of that interval, in seconds."
    )
    max_daily_loss: Amount = Field(
        description="Loss per UTC day, in quote currency and over all venues that share it, that"
        " engages the kill switch.",
        json_schema_extra=required(f'set the loss that stops trading, e.g. "10000" {_WHY}'),
    )
    price_collar: Share = Field(
        description="Largest distance of a limit price from the market, as a share: 0.05 is 5 %.",
        json_schema_extra=required(
            f'set the largest distance from the market, e.g. "0.05" for 5 percent {_WHY}'
        ),
    )
    max_order_quantity: Amount | None = Field(
        default=None, description="Largest single order, in base units; none when left out."
    )
    soft_daily_loss: Amount | None = Field(
        default=None,
        description="Loss per UTC day from which on only orders leave that reduce a position.",
    )
    max_duplicates: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None,
        description="Orders of the same side, quantity and price that may leave per"
        " duplicateWindowSeconds; not counted when left out.",
    )
    duplicate_window_seconds: Annotated[int, Field(ge=1, le=3600)] | None = Field(
        default=None, description="Length of the window of maxDuplicates, in seconds."
    )
    kill_switch_limit_multiplier: Amount | None = Field(
        default=None,
        description="How many times a limit of one order makes an order absurd; 1.5 when left out.",
    )
    kill_switch_violation_threshold: Annotated[int, Field(ge=0, le=100_000)] | None = Field(
        default=None,
        description="Absurd orders in a row that engage the kill switch; 3 when left out, 0 is"
        " never.",
    )
    kill_switch_rate_limit_threshold: Annotated[int, Field(ge=0, le=100_000)] | None = Field(
        default=None,
        description="Intervals in a row with orders held back that engage the kill switch; 10 when"
        " left out, 0 is never.",
    )
