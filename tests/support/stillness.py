"""Notices what a unit test must not do: open a socket, start a process, really wait.

A test that does is an integration test, or needs a clock that it can move by itself.
"""

from __future__ import annotations

import asyncio.base_events
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from unittest.mock import patch

#: Seconds that timers may really take in one test, all in all: polls of a loop's own turns.
PATIENCE = 0.5


class Stirred(AssertionError):
    """A unit test did what only other kinds of test may do."""


class Watch:
    """``did`` says what was done; it is kept since the code under test may swallow the error."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self._waits: list[tuple[float, float]] = []

    def refuse(self, what: str) -> Callable[..., NoReturn]:
        def refused(*args: Any, **_: Any) -> NoReturn:
            self.did.append(what)
            raise Stirred(f"a unit test {what}")

        return refused

    @property
    def waited(self) -> float:
        """Seconds in which at least one timer ran that came to its end."""
        total, until = 0.0, float("-inf")
        for start, end in sorted(self._waits):
            total += max(0.0, end - max(start, until))
            until = max(until, end)
        return total

    def timer(self, call_at: Callable[..., Any]) -> Callable[..., Any]:
        """``call_at`` that remembers each timer when it comes to its end, not when it is set."""

        def watched(
            loop: Any, when: float, callback: Callable[..., object], *args: Any, **context: Any
        ) -> Any:
            begun = loop.time()

            def ended(*args: Any) -> None:
                self._waits.append((begun, when))
                callback(*args)

            return call_at(loop, when, ended, *args, **context)

        return watched


@contextmanager
def still() -> Iterator[Watch]:
    """Refuses sockets, processes and `time.sleep`; counts what event loops wait."""
    watch, loop = Watch(), asyncio.base_events.BaseEventLoop
    with (
        patch.object(socket.socket, "connect", watch.refuse("connects a socket")),
        patch.object(socket.socket, "connect_ex", watch.refuse("connects a socket")),
        patch.object(socket.socket, "bind", watch.refuse("binds a socket")),
        patch.object(socket, "getaddrinfo", watch.refuse("looks up a name")),
        patch.object(subprocess.Popen, "__init__", watch.refuse("starts a process")),
        patch.object(os, "fork", watch.refuse("starts a process")),
        patch.object(time, "sleep", watch.refuse("sleeps")),
        patch.object(loop, "call_at", watch.timer(loop.call_at)),
    ):
        yield watch
