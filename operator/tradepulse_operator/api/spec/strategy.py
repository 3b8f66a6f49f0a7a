"""The strategy that trades."""

from __future__ import annotations

from pydantic import Field

from tradepulse_operator.api.base import Model, required
from tradepulse_operator.api.units import FreeForm, Name


class Strategy(Model):
    """The strategy that trades."""

    name: Name = Field(
        description="Name of a strategy that the image ships.",
        json_schema_extra=required("name a strategy that the image ships"),
    )
    parameters: FreeForm = Field(
        default={}, description="Parameters of the strategy; their meaning is the strategy's own."
    )
