"""The ReleaseCutover that an automatic change of release starts."""

from __future__ import annotations

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.release import Release
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.names import API_VERSION
from tradepulse_operator.common.objects import Manifest

from .manifest import metadata


def cutover_name(runner: TradingRunner, target: Release) -> str:
    """Name of the automatic cutover; the same for the same change, so that there is one."""
    return f"{runner.metadata.name}-{target.id}-g{runner.metadata.generation}"


def automatic_cutover(runner: TradingRunner, target: Release) -> Manifest:
    """A cutover to `target`, which spec.release resolved to.

    spec.release is written out: a later change of the runner's spec must not move the target.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": ReleaseCutover.KIND,
        "metadata": metadata(runner, cutover_name(runner, target)),
        "spec": {
            **runner.spec.cutover.template.wire(),
            "runner": runner.metadata.name,
            "release": runner.spec.release.wire(),
        },
    }


def is_automatic(cutover: ReleaseCutover, runner: TradingRunner) -> bool:
    """Whether the operator created it for the runner's spec; else a person did."""
    return any(owner.uid == runner.metadata.uid for owner in cutover.metadata.owner_references)
