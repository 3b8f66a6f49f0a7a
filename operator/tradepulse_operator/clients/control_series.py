"""When Prometheus scraped anything at all: queried once for all cutovers that need it.

The query evaluates every target of the server, at every second of its span, and its answer is the
same for everyone who may see the same: asked by each of a hundred guarded cutovers, it would be
most of the load. A server of several tenants shows each its own targets, so an answer serves only
those who ask as the same one: with another's scrapes, an outage of the own Prometheus would pass
for silence of the runner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tradepulse_operator.guard.promql import Endpoint, SampleQuery
from tradepulse_operator.guard.samples import Series

#: Seconds that an answer may lack at its end. Its steps are a second apart in any case, and a
#: scrape that isn't known of only lets the guard wait: silence counts against a runner while it is
#: known that something was scraped.
SHARED = 1.0
#: Endpoints whose answers are kept: credentials that rotate make a new one each time.
REMEMBERED = 64

Answer = tuple[Series, ...]


@dataclass(frozen=True)
class _Asked:
    since: float
    until: float
    answer: asyncio.Task[Answer]

    def serves(self, question: SampleQuery) -> bool:
        """Whether its answer covers the span of `question`; a failure is no answer."""
        done = self.answer.done()
        failed = done and (self.answer.cancelled() or self.answer.exception() is not None)
        lacks = question.since < self.since or question.until > self.until + SHARED
        return not failed and not lacks


class ControlSeries:
    """The newest answer of each endpoint. `ask` puts the query, and raises what it raises."""

    def __init__(self, ask: Callable[[SampleQuery], Awaitable[Answer]]) -> None:
        self._ask = ask
        self._newest: dict[Endpoint, _Asked] = {}

    async def within(self, question: SampleQuery) -> Answer:
        """Scrapes from `since` to `until` of `question`, at most SHARED s short of that."""
        known = self._newest.get(question.endpoint)
        if known is None or not known.serves(question):
            # A task of its own: whoever asked first may be called off while others wait for it.
            task = asyncio.create_task(self._answer(question), name="control series")
            known = _Asked(question.since, question.until, task)
            self._keep(question.endpoint, known)
        answer = await asyncio.shield(known.answer)
        return tuple(_cut(series, question) for series in answer)

    def _keep(self, endpoint: Endpoint, asked: _Asked) -> None:
        self._newest.pop(endpoint, None)
        self._newest[endpoint] = asked
        while len(self._newest) > REMEMBERED:
            self._newest.pop(next(iter(self._newest)))

    async def _answer(self, question: SampleQuery) -> Answer:
        return await self._ask(question)


def _cut(series: Series, question: SampleQuery) -> Series:
    """Without what was scraped after `until`: no sample may be newer than the reconciliation that
    it serves."""
    return Series(series.labels, tuple(p for p in series.points if p[0] <= question.until))
