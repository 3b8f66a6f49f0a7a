"""Durations and decimals as Kubernetes manifests write them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

_PART = re.compile(r"([0-9]+)(ms|s|m|h)")
_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}

DURATION_PATTERN = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"
DECIMAL_PATTERN = r"^[0-9]{1,18}(\.[0-9]{1,18})?$"
QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$"
NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"

#: A length of time such as `500ms`, `15s` or `1h30m`.
Duration = Annotated[str, Field(pattern=DURATION_PATTERN, min_length=2, max_length=16)]
#: An unsigned decimal as a string, so that money never passes through a float.
Amount = Annotated[str, Field(pattern=DECIMAL_PATTERN, max_length=37)]
#: A Kubernetes resource quantity.
Quantity = Annotated[str, Field(pattern=QUANTITY_PATTERN, max_length=32)]
#: A DNS label.
Name = Annotated[str, Field(pattern=NAME_PATTERN, min_length=1, max_length=63)]
#: A free-form object; its keys belong to whom it is handed to.
FreeForm = Annotated[
    dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})
]


def seconds(duration: str) -> float:
    """`duration` in seconds, e.g. `1m30s` → 90.0.

    Raises ValueError for text that isn't a duration; the API server refuses such text earlier.
    """
    if not duration or not re.fullmatch(DURATION_PATTERN, duration):
        raise ValueError(f"not a duration: {duration!r}; write e.g. 500ms, 15s, 5m or 1h30m")
    return float(sum(int(n) * _SECONDS[unit] for n, unit in _PART.findall(duration)))
