"""Prometheus: raw samples for the guard.

Whatever goes wrong is an `outage` of the recording, never an empty answer: silence of the runner
and blindness of the operator are different verdicts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp

from tradepulse_operator.api.untrusted import LONGEST, parse
from tradepulse_operator.clients.http import TooLarge, bounded, redacted_url
from tradepulse_operator.controllers.observed.views import MetricView
from tradepulse_operator.guard import promql
from tradepulse_operator.guard.promql import Endpoint, SampleQuery
from tradepulse_operator.guard.samples import Recording, Series

from .control_series import ControlSeries

TIMEOUT = 10.0
#: Largest answer: eight hours of a runner's series at 15 s are about 2 MiB.
LARGEST = 32 * 1024 * 1024


class Outage(Exception):
    """Prometheus gave no answer that can be relied on; the text says why."""


class Prometheus:
    """The client of Prometheus."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        timeout: float = TIMEOUT,
        largest: int = LARGEST,
    ) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._seconds = timeout
        self._largest = largest
        self._control = ControlSeries(self._scrapes)

    async def record(self, question: SampleQuery) -> Recording:
        """The samples that `question` asks for; all of them, or an outage."""
        try:
            runner, control, *own = await self._all(question)
        except Outage as error:
            return Recording(question.since, question.until, outage=str(error))
        return Recording(
            question.since,
            question.until,
            runner=runner,
            control=control,
            custom=dict(zip(question.custom, own, strict=True)),
        )

    async def engaged(
        self, endpoint: Endpoint, namespace: str, runner: str, at: float
    ) -> MetricView:
        """The metric of a runner's kill switch, at `at` unix seconds."""
        query = promql.kill_switch(namespace, runner)
        params = {"query": query, "time": f"{at:.3f}"}
        try:
            matrix = await self._matrix(endpoint, "/api/v1/query", params)
        except Outage as error:
            return MetricView(problem=str(error))
        engaged = [series.points[-1][0] for series in matrix if series.points[-1][1] == 1]
        return MetricView(engaged_at=max(engaged, default=None))

    async def _all(self, question: SampleQuery) -> list[tuple[Series, ...]]:
        asked = [
            self._at(question, promql.raw(question)),
            self._control.within(question),
            *(
                self._range(question, promql.custom(question, query), question.step)
                for query in question.custom.values()
            ),
        ]
        # return_exceptions: one failure must not leave the other requests running unwatched.
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for item in answers:
            if isinstance(item, BaseException):
                raise item
        return [item for item in answers if not isinstance(item, BaseException)]

    async def _scrapes(self, question: SampleQuery) -> tuple[Series, ...]:
        """`up` at the very times of the scrapes, of whatever was scraped."""
        return _scrapes(await self._range(question, promql.CONTROL, 1.0))

    async def _at(self, question: SampleQuery, query: str) -> tuple[Series, ...]:
        params = {"query": query, "time": f"{question.until:.3f}"}
        return await self._matrix(question.endpoint, "/api/v1/query", params)

    async def _range(self, question: SampleQuery, query: str, step: float) -> tuple[Series, ...]:
        start, step = promql.steps(question, step)
        params = {
            "query": query,
            "start": f"{start:.3f}",
            "end": f"{question.until:.3f}",
            "step": f"{step:.3f}",
        }
        return await self._matrix(question.endpoint, "/api/v1/query_range", params)

    async def _matrix(
        self, endpoint: Endpoint, path: str, params: Mapping[str, str]
    ) -> tuple[Series, ...]:
        where = redacted_url("Prometheus", endpoint.url)
        # The server gives up by itself before we do, and frees what the query uses.
        params = {**params, "timeout": f"{self._seconds:g}s"}
        try:
            async with self._session.post(
                endpoint.url.rstrip("/") + path,
                data=params,
                headers=endpoint.headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as answer:
                body = await bounded(answer, self._largest)
                status = answer.status
        except TimeoutError as error:
            raise Outage(f"{where} gave no answer in {self._seconds:g} s") from error
        except TooLarge as error:
            raise Outage(f"{where} answered with {error}") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Outage(f"{where} can't be reached: {type(error).__name__}") from error
        return matrix(where, status, body)


def matrix(where: str, status: int, body: bytes) -> tuple[Series, ...]:
    """The series of an answer. Raises Outage for one that isn't a whole, plain matrix.

    Format: Prometheus, "HTTP API": {status, data: {resultType, result}, warnings?}.
    """
    try:
        answer = parse(body, len(body))
        failed = str(answer.get("error") or "")
        if status != 200 or answer["status"] != "success":
            raise Outage(f"{where} answered {status} {failed[:200]}".rstrip())
        # A warning means that a part of the data is missing, e.g. a remote store that is down.
        if answer.get("warnings"):
            raise Outage(f"{where} warned: {str(answer['warnings'][0])[:200]}")
        if answer["data"]["resultType"] != "matrix":
            raise Outage(f"{where} answered a {answer['data']['resultType']}, not a matrix")
        return tuple(_series(item) for item in answer["data"]["result"])
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        what = f"{status} with" if status != 200 else "with"
        raise Outage(f"{where} answered {what} something malformed") from error


def _series(item: Any) -> Series:
    points = tuple((float(at), float(value)) for at, value in item["values"])
    labels = {str(name): str(value)[:LONGEST] for name, value in item["metric"].items()}
    return Series(labels, points)


def _scrapes(control: tuple[Series, ...]) -> tuple[Series, ...]:
    """Series of `timestamp(up == 1)` → `up` at the very times of the scrapes."""
    return tuple(
        Series(
            {**series.labels, "__name__": "up"},
            tuple((at, 1.0) for at in sorted({value for _, value in series.points})),
        )
        for series in control
    )
