"""The loop's settings, from the configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tradepulse_runner.config.runner import GuardConfig, KillSwitchConfig, RunnerConfig


@dataclass(frozen=True)
class LiveLoopConfig:
    """The loop's settings. Times in seconds; ``credentials``: venue → directory of files."""

    state_dir: Path
    runner: str = "default/runner"
    owner: str = ""
    credentials: Mapping[str, Path] = field(default_factory=dict)
    submission_interval: float = 0.25
    fill_poll_interval: float = 1.0
    reconcile_interval: float = 5.0
    heartbeat_interval: float = 1.0
    credential_interval: float = 5.0
    max_backoff: float = 60.0
    while_reconciling: Literal["halt", "reduce"] = "halt"
    control_dir: Path | None = None
    kill_switch: KillSwitchConfig = field(default_factory=KillSwitchConfig)
    guard: GuardConfig = field(default_factory=GuardConfig)

    @classmethod
    def of(cls, config: RunnerConfig) -> LiveLoopConfig:
        """The loop's part of the configuration file."""
        return cls(
            state_dir=config.state_dir,
            runner=f"{config.runner.namespace}/{config.runner.name}",
            owner=config.responsible,
            credentials={v.name: v.credentials_dir for v in config.venues if v.credentials_dir},
            control_dir=config.control_dir,
            kill_switch=config.kill_switch,
            guard=config.guard,
            **config.loop.model_dump(),
        )
