"""Whether a healthy runner would seem silent: scrapes must show its heartbeat within `metricGap`.

The schema can't check this, as the heartbeat's interval is in the user's own ConfigMap.
"""

from __future__ import annotations

import math
from typing import Any

from tradepulse_operator.api.guardrails import Guardrails
from tradepulse_operator.api.reasons import ConfigReason
from tradepulse_operator.api.units import seconds
from tradepulse_operator.common.names import CONFIG_FILE
from tradepulse_operator.guard.limits import limits

from . import yaml_text
from .release import Rendered
from .render import ConfigError

_KEY = "heartbeat_interval"


def require_heartbeat_interval(
    rendered: Rendered, config_map: str | None, guardrails: Guardrails, scrape: str, path: str
) -> None:
    """Raise ConfigError when `rendered` beats so seldom that `guardrails` call it a gap.

    `config_map`: where the user wrote it; `scrape`: the interval of scrapes, a duration; `path`: of
    the guardrails, for the message.
    """
    beat = _interval(rendered.text)
    if beat is None:
        return  # the runner's own default, a second, is below every gap that the schema allows
    every, gap = seconds(scrape), limits(guardrails, scrape).metric_gap
    silence = seeming_silence(beat, every)
    if silence < gap:
        return
    given = "" if guardrails.metric_gap else ", the default"
    raise ConfigError(
        ConfigReason.INVALID_CONFIG,
        f"ConfigMap {config_map}, key {CONFIG_FILE}: loop.{_KEY} is {beat:g} s: scraped every"
        f" {scrape}, a runner that is well seems silent for {silence:g} s, and {path}.metricGap"
        f" ({gap:g} s{given}) calls that a gap: lower it, or raise metricGap",
    )


def seeming_silence(beat: float, scrape: float) -> float:
    """The longest time between two scrapes that notice a new beat, seconds: a beat is noticed by
    the scrape after it."""
    return scrape * max(1, math.ceil(beat / scrape)) if math.isfinite(beat) else math.inf


def _interval(text: str) -> float | None:
    """None when the configuration doesn't say it, or says nonsense, which the runner refuses."""
    if _KEY not in text:
        return None
    loop: Any = yaml_text.read(text).get("loop")
    value = loop.get(_KEY) if isinstance(loop, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return float(value)
