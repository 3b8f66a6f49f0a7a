"""The limits in an incident report: `limits.json`, from which a verdict is derived once more.

A report outlives the operator that filed it, so the file has a form of its own, apart from
`Limits`: what is renamed there changes nothing here. A field that is added or changed makes a new
format, and every format that was ever filed stays readable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat, NonNegativeInt, ValidationError
from pydantic.alias_generators import to_camel

from tradepulse_operator.api.guardrails import CustomGuardrail

from .limits import Limits


class _Filed(BaseModel):
    """What is in a file must be known: a limit that is passed over would change the verdict."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Format1(_Filed):
    """Since the first version with a `format`. Shares are from 0 to 1.

    Custom guardrails are not in it: they are in the report's cutover.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    format: Literal[1] = 1
    interval_seconds: FiniteFloat
    window_seconds: FiniteFloat
    scrape_interval_seconds: FiniteFloat
    metric_gap_seconds: FiniteFloat
    error_rate: FiniteFloat
    p95_latency_seconds: FiniteFloat
    consecutive: NonNegativeInt
    min_requests: NonNegativeInt
    required_seconds: FiniteFloat
    patience_seconds: FiniteFloat | None
    quiet: bool


class _Unversioned(_Filed):
    """Before there was a `format`: the fields of `Limits` as they were called then."""

    interval: FiniteFloat
    window: FiniteFloat
    scrape: FiniteFloat
    metric_gap: FiniteFloat
    error_rate: FiniteFloat
    p95: FiniteFloat
    consecutive: NonNegativeInt
    min_requests: NonNegativeInt
    required: FiniteFloat = 0.0
    patience: FiniteFloat | None = None
    quiet: bool = False

    def format1(self) -> _Format1:
        return _Format1(
            interval_seconds=self.interval,
            window_seconds=self.window,
            scrape_interval_seconds=self.scrape,
            metric_gap_seconds=self.metric_gap,
            error_rate=self.error_rate,
            p95_latency_seconds=self.p95,
            consecutive=self.consecutive,
            min_requests=self.min_requests,
            required_seconds=self.required,
            patience_seconds=self.patience,
            quiet=self.quiet,
        )


def dump(limits: Limits) -> dict[str, Any]:
    """`limits` as JSON values, in the newest format; without the custom guardrails."""
    filed = _Format1(
        interval_seconds=limits.interval,
        window_seconds=limits.window,
        scrape_interval_seconds=limits.scrape,
        metric_gap_seconds=limits.metric_gap,
        error_rate=limits.error_rate,
        p95_latency_seconds=limits.p95,
        consecutive=limits.consecutive,
        min_requests=limits.min_requests,
        required_seconds=limits.required,
        patience_seconds=limits.patience,
        quiet=limits.quiet,
    )
    return filed.model_dump(mode="json", by_alias=True)


def load(filed: Mapping[str, Any], custom: tuple[CustomGuardrail, ...]) -> Limits:
    """The limits of a file in any format, with the `custom` guardrails of the report's cutover.

    Raises ValueError, naming the field, for what is no such file.
    """
    file = _read(filed)
    return Limits(
        interval=file.interval_seconds,
        window=file.window_seconds,
        scrape=file.scrape_interval_seconds,
        metric_gap=file.metric_gap_seconds,
        error_rate=file.error_rate,
        p95=file.p95_latency_seconds,
        consecutive=file.consecutive,
        min_requests=file.min_requests,
        custom=custom,
        required=file.required_seconds,
        patience=file.patience_seconds,
        quiet=file.quiet,
    )


def _read(filed: Mapping[str, Any]) -> _Format1:
    number = filed.get("format")
    if number not in (None, 1):
        raise ValueError(f"format {number!r} is unknown: replay with the operator that filed it")
    try:
        if number is None:
            return _Unversioned.model_validate(dict(filed)).format1()
        return _Format1.model_validate(dict(filed))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise ValueError(f"{field}: {first['msg']}") from error
