"""Reading a request's parameters the way Binance does: strictly."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

from tests.support.venues.binance.errors import ApiError, mandatory

_DECIMAL = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
_INTEGER = r"^[0-9]{1,20}$"
CLIENT_ID = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"
SECURITY = ("signature", "timestamp", "recvWindow", "apiKey")
_PRECISION = 8  # decimals of every asset


class Params:
    """Parameters by name. Everything here raises :class:`ApiError`."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def check(self, required: Iterable[str], optional: Iterable[str]) -> None:
        """All that is required is there, and nothing that is unknown."""
        for name in required:
            if not self._values.get(name):
                raise mandatory(name)
        for name, value in self._values.items():
            if value == "":
                raise ApiError(-1105, f"Parameter '{name}' was empty.")
        known = {*required, *optional, *SECURITY}
        unread = [name for name in self._values if name not in known]
        if unread:
            sent = len(self._values)
            raise ApiError(
                -1104,
                f"Not all sent parameters were read; read '{sent - len(unread)}' parameter(s)"
                f" but was sent '{sent}'.",
            )

    def text(self, name: str) -> str | None:
        return self._values.get(name)

    def need(self, name: str) -> str:
        value = self._values.get(name)
        if not value:
            raise mandatory(name)
        return value

    def match(self, name: str, pattern: str) -> str | None:
        value = self._values.get(name)
        if value is not None and not re.match(pattern, value):
            raise ApiError(
                -1100,
                f"Illegal characters found in parameter '{name}'; legal range is '{pattern}'.",
            )
        return value

    def decimal(self, name: str) -> Decimal | None:
        value = self.match(name, _DECIMAL)
        if value is None:
            return None
        number = Decimal(value)
        if number != round(number, _PRECISION):
            raise ApiError(-1111, f"Parameter '{name}' has too much precision.")
        return number

    def integer(self, name: str) -> int | None:
        value = self.match(name, _INTEGER)
        return None if value is None else int(value)

    def limit(self, most: int, default: int = 500) -> int:
        given = self.integer("limit")
        return min(default if given is None else given, most)

    def flag(self, name: str, default: bool) -> bool:
        value = self._values.get(name)
        return default if value is None else value.lower() == "true"
