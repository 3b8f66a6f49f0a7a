"""Resource quantities in the form that the API server returns them in.

It rewrites `1024Mi` to `1Gi` and `0.5` to `500m`; a desired value in another form than the live
one would count as drift for ever. Source: k8s.io/apimachinery, pkg/api/resource/quantity.go.
"""

from __future__ import annotations

import re
from decimal import ROUND_UP, Decimal

_FORM = re.compile(r"^([0-9]+(?:\.[0-9]+)?)(n|u|m|k|Ki|Mi|Gi|Ti|Pi|Ei|M|G|T|P|E)?$")
_DECIMAL = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


def value(quantity: str) -> Decimal:
    """`quantity` as a number of its unit (bytes, cores). Raises ValueError for another text."""
    match = _FORM.match(quantity)
    if not match:
        raise ValueError(f"not a quantity: {quantity!r}; write e.g. 100m, 256Mi or 1Gi")
    number, suffix = Decimal(match[1]), match[2] or ""
    if suffix in _DECIMAL:
        return number.scaleb(3 * (_DECIMAL.index(suffix) - 3))
    return number * (1 << (10 * _BINARY.index(suffix)))


def canonical(quantity: str) -> str:
    """The same quantity as the API server writes it, e.g. `1024Mi` → `1Gi`, `0.5` → `500m`."""
    amount = value(quantity)
    whole = amount == amount.to_integral_value()
    if quantity.endswith("i") and whole and amount >= 1024:
        return _shortest(int(amount), 1024, _BINARY)
    nano = int((amount * 10**9).to_integral_value(ROUND_UP))
    return _shortest(nano, 1000, _DECIMAL)


def larger(first: str, second: str) -> str:
    """The larger of two quantities; the first when they are equal."""
    return second if value(second) > value(first) else first


def _shortest(number: int, base: int, suffixes: tuple[str, ...]) -> str:
    if number == 0:
        return "0"
    power = 0
    while number % base == 0 and power < len(suffixes) - 1:
        number, power = number // base, power + 1
    return f"{number}{suffixes[power]}"
