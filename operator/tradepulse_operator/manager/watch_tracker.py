"""Detects a watch that stopped delivering, by comparison with lists.

A watch can hang without an error, and kopf drops what vanished during a gap. An idle cluster sends
nothing, so silence alone proves nothing either way. Therefore a resync lists the metadata of the
custom resources. An object that the watch has not delivered in the listed version is *pending*: it
is reconciled regardless, and one that stays pending makes the process unhealthy, as only a restart
repairs a watch that hangs.
"""

from __future__ import annotations

from collections.abc import Iterable

from .key import Key


class WatchTracker:
    """What the watch delivered, against what lists showed. Versions compare as numbers."""

    def __init__(self) -> None:
        self._delivered: dict[Key, int] = {}
        self._pending: dict[Key, tuple[int, float]] = {}

    def delivered(self, key: Key, version: str) -> None:
        """The watch brought `key` in that version."""
        number = _number(version)
        self._delivered[key] = max(number, self._delivered.get(key, 0))
        if key in self._pending and self._pending[key][0] <= number:
            del self._pending[key]

    def gone(self, key: Key) -> None:
        """The watch said that `key` was deleted."""
        self._delivered.pop(key, None)
        self._pending.pop(key, None)

    def known(self) -> frozenset[Key]:
        """What was delivered so far; to be taken before a list is asked for."""
        return frozenset(self._delivered)

    def listed(
        self, items: Iterable[tuple[Key, str]], before: frozenset[Key], now: float
    ) -> list[Key]:
        """A whole list, taken just now: the keys to reconcile because the watch missed them.

        What was known `before` the list was asked for and isn't in it was deleted unnoticed: it is
        reconciled once more, then forgotten.
        """
        versions = {key: _number(version) for key, version in items}
        missed = [key for key, number in versions.items() if self._delivered.get(key, 0) < number]
        for key in missed:
            self._pending[key] = (versions[key], self._pending.get(key, (0, now))[1])
        vanished = [key for key in before if key in self._delivered and key not in versions]
        for key in [*vanished, *(key for key in self._pending if key not in versions)]:
            self.gone(key)
        return missed + vanished

    def lag(self, now: float) -> float:
        """Seconds since the oldest pending event was first missed; 0: none is pending."""
        return max((now - since for _, since in self._pending.values()), default=0.0)


def _number(version: str) -> int:
    # Kubernetes 1.35 makes resource versions comparable by contract; they were numbers before.
    return int(version) if version.isdigit() else 0
