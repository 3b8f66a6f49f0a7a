"""The kill switch."""

from __future__ import annotations

import re

from pydantic import Field

from tradepulse_operator.api.base import Model, rule
from tradepulse_operator.api.units import Line


class KillSwitch(Model):
    """The kill switch: engaged here, it is latched in the runner until a person resets it there."""

    cel = (
        rule(
            "!self.engaged || self.reason.matches('[^ ]')",
            "killSwitch.reason is required when it is engaged: say who stops trading and why",
            ".reason",
            holds=lambda it: not it.engaged or bool(re.search("[^ ]", it.reason)),
        ),
    )

    engaged: bool = Field(default=False, description="Stop trading and cancel every order.")
    reason: Line = Field(default="", description="Who stops trading, and why.")
