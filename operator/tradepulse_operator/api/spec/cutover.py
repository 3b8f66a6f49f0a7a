"""What happens when a runner's release changes."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tradepulse_operator.api.base import Model
from tradepulse_operator.api.policy import CutoverPolicy


class CutoverMode(StrEnum):
    """Who starts a cutover when the spec's release changes."""

    AUTOMATIC = "Automatic"
    MANUAL = "Manual"


class CutoverSettings(Model):
    """What happens when the release changes."""

    mode: CutoverMode = Field(
        default=CutoverMode.AUTOMATIC,
        description="Automatic starts a ReleaseCutover from the template; Manual waits for one.",
    )
    template: CutoverPolicy = Field(
        default=CutoverPolicy(), description="Policy of automatic cutovers."
    )
    history_limit: Annotated[int, Field(ge=1, le=100)] = Field(
        default=10, description="Finished ReleaseCutovers kept."
    )
