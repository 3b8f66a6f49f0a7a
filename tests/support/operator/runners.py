"""Runners and intents for the builders' tests."""

from __future__ import annotations

from typing import Any

from tests.support.operator.runner_world import spec
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.resources.config.release import render_release
from tradepulse_operator.resources.desired_run import DesiredRun

BINANCE = {
    "name": "binance",
    "connector": "binance",
    "credentialsSecret": "binance-key",
    "symbols": ["BTC-USD"],
}
PAPER = {"name": "paper", "connector": "paper", "symbols": ["BTC-USD"]}


def runner(name: str = "demo", **changes: Any) -> TradingRunner:
    """A runner on the paper venue; `changes` are of its spec."""
    meta = {"name": name, "namespace": "trading", "uid": "runner-uid", "generation": 7}
    return TradingRunner.model_validate({"metadata": meta, "spec": spec(**changes)})


def intent_of(owner: TradingRunner, **changes: Any) -> DesiredRun:
    """The intent to run what the spec means."""
    release = render_release(owner, owner.spec.release, None).release
    return DesiredRun(**{"release": release, **changes})
