"""The strategies this image ships, by name."""

from __future__ import annotations

from collections.abc import Callable

from tradepulse_runner.config.runner import StrategyConfig, parse_model
from tradepulse_runner.errors import ConfigError
from tradepulse_runner.strategy.base import Strategy
from tradepulse_runner.strategy.trend import Trend, TrendParameters


def _trend(sense: int) -> Callable[[StrategyConfig, str], Strategy]:
    def build(config: StrategyConfig, source: str) -> Strategy:
        prefix = "strategy.parameters"
        parameters = parse_model(TrendParameters, config.parameters, source=source, prefix=prefix)
        return Trend(config.name, parameters, sense=sense)

    return build


_STRATEGIES: dict[str, Callable[[StrategyConfig, str], Strategy]] = {
    "momentum": _trend(+1),
    "mean-reversion": _trend(-1),
}


def build_strategy(config: StrategyConfig, *, source: str) -> Strategy:
    """The strategy of that name. Raises :class:`ConfigError` naming field, value and remedy."""
    build = _STRATEGIES.get(config.name)
    if build is None:
        raise ConfigError(
            f"{source}: strategy.name: value {config.name!r} is not known; "
            f"remedy: use one of {sorted(_STRATEGIES)}"
        )
    return build(config, source)
