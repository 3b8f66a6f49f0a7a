"""A key is parsed once, not for every request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from tradepulse_runner.credentials.store import Credential

S = TypeVar("S")


class PerGeneration(Generic[S]):
    """What ``make`` makes of the newest credential seen, made once a generation. Raises what
    ``make`` raises."""

    def __init__(self, make: Callable[[Credential], S]) -> None:
        self._make = make
        self._made: tuple[int, S] | None = None

    def of(self, credential: Credential) -> S:
        if self._made is None or self._made[0] != credential.generation:
            self._made = credential.generation, self._make(credential)
        return self._made[1]
