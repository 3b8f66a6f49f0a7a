"""The work queue with real tasks."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from tradepulse_operator.clients.clock import SystemClock
from tradepulse_operator.manager.schedule import Limits, Schedule
from tradepulse_operator.manager.workqueue import WorkQueue

QUICK = Limits(rate=10_000, burst=10_000, base=0.01, cap=0.05)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_every_key_is_worked_on_alone_and_with_few_workers() -> None:
    active: Counter[int] = Counter()
    peak, seen = 0, Counter[int]()

    async def work(key: int) -> float | None:
        nonlocal peak
        active[key] += 1
        assert active[key] == 1
        peak = max(peak, sum(active.values()))
        await asyncio.sleep(0.002)
        active[key] -= 1
        seen[key] += 1
        return None

    queue: WorkQueue[int] = WorkQueue(work, SystemClock(), workers=3, schedule=Schedule(QUICK))
    task = asyncio.create_task(queue.run())
    for _ in range(5):
        for key in range(20):
            queue.add(key)
        await asyncio.sleep(0.003)
    await until(lambda: len(seen) == 20 and queue.depth == 0 and not sum(active.values()))
    assert peak == 3
    await stop(task)


async def test_a_failure_is_tried_again_until_it_works() -> None:
    tries = 0

    async def work(_: str) -> float | None:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise RuntimeError("no")
        return None

    queue: WorkQueue[str] = WorkQueue(work, SystemClock(), schedule=Schedule(QUICK))
    task = asyncio.create_task(queue.run())
    queue.add("a")
    await until(lambda: tries == 4)
    await stop(task)


async def test_work_that_hangs_is_given_up_and_others_go_on() -> None:
    seen: list[str] = []

    async def work(key: str) -> float | None:
        if key == "hangs" and "hangs" not in seen:
            seen.append(key)
            await asyncio.sleep(60)
        seen.append(key)
        return None

    queue: WorkQueue[str] = WorkQueue(
        work, SystemClock(), workers=2, deadline=0.05, schedule=Schedule(QUICK)
    )
    task = asyncio.create_task(queue.run())
    queue.add("hangs")
    queue.add("other")
    await until(lambda: seen.count("hangs") == 2 and "other" in seen)
    await stop(task)


async def test_a_stop_lets_running_work_end() -> None:
    ended = asyncio.Event()

    async def work(_: str) -> float | None:
        await asyncio.sleep(0.05)
        ended.set()
        return None

    queue: WorkQueue[str] = WorkQueue(work, SystemClock(), schedule=Schedule(QUICK))
    task = asyncio.create_task(queue.run())
    queue.add("a")
    await asyncio.sleep(0.01)
    await stop(task)
    assert ended.is_set()


async def test_planned_looks_come_in_time() -> None:
    times: list[float] = []

    async def work(_: str) -> float | None:
        times.append(asyncio.get_running_loop().time())
        return 0.05

    queue: WorkQueue[str] = WorkQueue(work, SystemClock(), schedule=Schedule(QUICK))
    task = asyncio.create_task(queue.run())
    queue.add("a")
    await until(lambda: len(times) == 4)
    await stop(task)
    assert all(later - before >= 0.045 for before, later in itertools.pairwise(times))
