"""Durations, decimals and names as Kubernetes manifests write them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from .base import Rule, matches

_PART = re.compile(r"([0-9]+)(ms|s|m|h)")
_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}

DURATION_PATTERN = r"^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,5}s)?([0-9]{1,5}ms)?$"
#: Nine decimals are what `quantity()` of CEL compares exactly.
DECIMAL_PATTERN = r"^[0-9]{1,18}(\.[0-9]{1,9})?$"
SHARE_PATTERN = r"^0?\.[0-9]{1,9}$"
QUANTITY_PATTERN = r"^[0-9]{1,12}(\.[0-9]{1,3})?(Ki|Mi|Gi|Ti|k|M|G|T)?$"
CPU_PATTERN = r"^([0-9]{1,9}m|[0-9]{1,6}(\.[0-9]{1,3})?)$"
NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_DOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
OBJECT_PATTERN = rf"^{_DOMAIN}$"
_LABEL_KEY = rf"^({_DOMAIN}/)?[A-Za-z0-9]([-._A-Za-z0-9]{{0,61}}[A-Za-z0-9])?$"
_LABEL_VALUE = r"^([A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?)?$"

_NONZERO = matches(r"^.*[1-9].*$", "zero is not allowed: write a value above zero")

#: A length of time above zero, such as `500ms`, `15s` or `1h30m`.
Duration = Annotated[
    str,
    Field(max_length=16),
    matches(DURATION_PATTERN, "not a length of time: write e.g. 500ms, 15s, 5m or 1h30m"),
    _NONZERO,
]
#: A decimal above zero as a string, so that money never passes through a float.
Amount = Annotated[
    str,
    Field(max_length=28),
    matches(
        DECIMAL_PATTERN,
        'not a decimal: write digits in quotes, with at most 9 decimals, e.g. "20000" or "0.25"',
    ),
    _NONZERO,
]
#: A share above 0 and below 1, as a string.
Share = Annotated[
    str,
    Field(max_length=11),
    matches(
        SHARE_PATTERN, 'not a share below 1: write a decimal in quotes, e.g. "0.05" for 5 percent'
    ),
    _NONZERO,
]
#: A Kubernetes resource quantity of bytes.
Quantity = Annotated[
    str,
    Field(max_length=18),
    matches(QUANTITY_PATTERN, "not a size in bytes: write e.g. 256Mi or 1Gi"),
    _NONZERO,
]
#: A Kubernetes resource quantity of processors.
Cpu = Annotated[
    str,
    Field(max_length=10),
    matches(CPU_PATTERN, 'not an amount of CPU: write e.g. 100m or "0.5"'),
    _NONZERO,
]
#: A DNS label.
Name = Annotated[
    str,
    Field(max_length=63),
    matches(
        NAME_PATTERN,
        "not a name: write lower-case letters, digits and '-', beginning and ending with a letter"
        " or digit",
    ),
]
#: A runner's name also names its Service (begins with a letter), and the label with the
#: StatefulSet's revision, 63 characters at most, is 11 longer.
LONGEST_RUNNER = 52
RUNNER_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
RUNNER_HINT = (
    "not the name of a runner: write lower-case letters, digits and '-', beginning with a letter"
    " and ending with a letter or digit"
)
RunnerName = Annotated[str, Field(max_length=LONGEST_RUNNER), matches(RUNNER_PATTERN, RUNNER_HINT)]
#: Name of another Kubernetes object.
ObjectName = Annotated[
    str,
    Field(max_length=253),
    matches(
        OBJECT_PATTERN,
        "not the name of an object: write lower-case letters, digits, '-' and '.', beginning and"
        " ending with a letter or digit",
    ),
]
#: One line for people.
Line = Annotated[
    str,
    Field(max_length=256),
    matches(r"^[^\x00-\x1f\x7f]*$", "must be one line: remove line breaks and control characters"),
]

LabelValue = Annotated[
    str,
    Field(max_length=63),
    matches(
        _LABEL_VALUE,
        "not the value of a label: write letters, digits, '-', '_' and '.', beginning and ending"
        " with a letter or digit",
    ),
]
_LABEL_HINT = "not the key of a label: write e.g. team or example.com/team"
LabelKey = Annotated[str, Field(max_length=317), matches(_LABEL_KEY, _LABEL_HINT)]
_LABEL_KEYS = Rule(
    f"self.all(key, key.matches(r'{_LABEL_KEY}'))",
    _LABEL_HINT,
    holds=lambda labels: all(re.fullmatch(_LABEL_KEY, key) for key in labels),
)
Labels = Annotated[dict[str, LabelValue], Field(max_length=32), _LABEL_KEYS]

#: A free-form object; its keys belong to whom it is handed to.
FreeForm = Annotated[
    dict[str, Any],
    Field(max_length=128, json_schema_extra={"x-kubernetes-preserve-unknown-fields": True}),
]

#: Texts of a status. A message is cut, never refused: a long one must not stop the operator.
LONGEST_MESSAGE = 1024
Message = Annotated[
    str,
    BeforeValidator(lambda text: text[:LONGEST_MESSAGE] if isinstance(text, str) else text),
    Field(max_length=LONGEST_MESSAGE),
]
Text = Annotated[str, Field(max_length=1024)]
Instant = Annotated[str, Field(max_length=64)]


def seconds(duration: str) -> float:
    """`duration` in seconds, e.g. `1m30s` → 90.0.

    Raises ValueError for text that isn't a duration; the API server refuses such text earlier.
    """
    if not duration or not re.fullmatch(DURATION_PATTERN, duration):
        raise ValueError(f"not a duration: {duration!r}; write e.g. 500ms, 15s, 5m or 1h30m")
    return float(sum(int(n) * _SECONDS[unit] for n, unit in _PART.findall(duration)))
