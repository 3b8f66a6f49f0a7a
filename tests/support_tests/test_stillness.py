"""What a unit test must not do is refused, and seen although the code under test swallows it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.support.stillness import Stirred, still


def connects() -> None:
    with socket.socket() as made:
        made.connect(("127.0.0.1", 9))


def binds() -> None:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))


def forks() -> None:
    os.fork()


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (connects, "connects a socket"),
        (binds, "binds a socket"),
        (lambda: socket.getaddrinfo("localhost", 1), "looks up a name"),
        (lambda: subprocess.run(["true"], check=True), "starts a process"),
        (forks, "starts a process"),
        (lambda: time.sleep(0.001), "sleeps"),
    ],
)
def test_it_is_refused_and_seen(act: Callable[[], object], said: str) -> None:
    with still() as watch, contextlib.suppress(Stirred):
        act()
    assert watch.did == [said]


def test_only_timers_that_end_count_and_those_at_once_count_once() -> None:
    async def both() -> None:
        async with asyncio.timeout(60):
            await asyncio.gather(asyncio.sleep(0.05), asyncio.sleep(0.04))
        await asyncio.sleep(0.01)

    with still() as watch:
        asyncio.run(both())
    assert watch.did == []
    assert 0.055 <= watch.waited <= 0.08


def test_all_is_as_before_afterwards() -> None:
    with still():
        pass
    binds()
