"""Signals: events that other modules subscribe to, without the loop importing them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, ParamSpec

P = ParamSpec("P")
log = logging.getLogger(__name__)


class Signal(Generic[P]):
    """``connect`` a callable, ``emit`` calls all of them in order."""

    def __init__(self) -> None:
        self._receivers: list[Callable[P, object]] = []

    def connect(self, receiver: Callable[P, object]) -> None:
        self._receivers.append(receiver)

    def emit(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call every receiver; one that raises is logged, and the next is called: receivers are
        auxiliary, and must not break the loop."""
        for receiver in self._receivers:
            try:
                receiver(*args, **kwargs)
            except Exception:
                log.exception("signal.receiver_failed")
