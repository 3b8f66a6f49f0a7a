"""Labels of children, and the selectors that find a runner's pod."""

from __future__ import annotations

from tradepulse_operator.api.release import Release
from tradepulse_operator.common.names import (
    APP_RUNNER,
    LABEL_APP,
    LABEL_CONFIG_HASH,
    LABEL_MANAGED_BY,
    LABEL_RELEASE,
    LABEL_RUNNER,
    MANAGER,
)


def selector(runner: str) -> dict[str, str]:
    """What a runner's pod is found by; the same for every release, as a selector can't change."""
    return {LABEL_APP: APP_RUNNER, LABEL_RUNNER: runner}


def common(runner: str) -> dict[str, str]:
    """Labels of every child of a runner."""
    return {**selector(runner), LABEL_MANAGED_BY: MANAGER}


def of_pod(runner: str, release: Release) -> dict[str, str]:
    """Labels of the pod: what it runs is visible from outside, in metrics too."""
    return {
        **common(runner),
        LABEL_RELEASE: release.id,
        LABEL_CONFIG_HASH: release.config_hash,
    }
