"""The desired run of a runner, given the phase of its cutover.

The cutover reconciler writes only the cutover's status; the runner reconciler reads it here and
owns every child. So two loops never write the same object.
"""

from __future__ import annotations

from typing import assert_never

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.phases import OrderState, PhaseFacts, Side, current
from tradepulse_operator.api.policy import StateOnRollback
from tradepulse_operator.api.release import Release
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.api.spec.drill import DrillTarget
from tradepulse_operator.resources.desired_run import DesiredRun, Prepare


def desired_run(
    runner: TradingRunner, release: Release, cutover: ReleaseCutover | None
) -> DesiredRun:
    """The desired run of `runner`, whose active release is `release`, under its claimed cutover."""
    kill = _kill_switch(runner)
    replicas = 0 if runner.spec.suspend or runner.metadata.deletion_timestamp else 1
    plain = DesiredRun(release=release, replicas=replicas, kill_switch=kill, replace=True)
    if cutover is None or cutover.status.source is None or cutover.status.target is None:
        return plain
    return _under(plain, cutover, cutover.status.source, cutover.status.target)


def halt_order(uid: str, side: Side) -> str:
    """The order to halt the release of that side for the cutover `uid`; the process answers with
    that uid."""
    match side:
        case Side.SOURCE:
            return f"halt {uid} cutover"
        case Side.TARGET:
            return f"halt {uid} rollback"
        case _:
            assert_never(side)


def spec_kill(reason: str) -> str:
    """Why the kill switch is engaged by spec.killSwitch."""
    return f"spec: {reason}"


def halted_kill(cutover: str) -> str:
    """Why the kill switch is engaged by a cutover that ended Halted."""
    return f"cutover {cutover} halted"


def _kill_switch(runner: TradingRunner) -> str:
    """Why the kill switch is to be engaged; "" when it isn't."""
    if runner.spec.kill_switch.engaged:
        return spec_kill(runner.spec.kill_switch.reason)
    running = runner.status.drill.running if runner.status.drill else None
    if running is not None and running.target is DrillTarget.LIVE:
        return f"drill of {running.scheduled_for}: reset it by name and reason"
    return ""


def _under(
    plain: DesiredRun, cutover: ReleaseCutover, source: Release, target: Release
) -> DesiredRun:
    facts = current(cutover.status)
    if not facts.touched:
        return plain
    kill = halted_kill(cutover.metadata.name) if facts.kill_switch else plain.kill_switch
    return DesiredRun(
        release=_of(facts.runs, source, target),
        # Until the pod of the target is gone there is no nonce, and without it nothing may start.
        replicas=plain.replicas if facts.starts else 0,
        halt=halt_order(cutover.metadata.uid, facts.runs) if facts.halted else "",
        kill_switch=kill,
        prepare=_prepare(facts, cutover, source),
        # A halted process has orders to cancel: its pod isn't replaced.
        replace=not facts.halted,
    )


def _of(side: Side, source: Release, target: Release) -> Release:
    match side:
        case Side.SOURCE:
            return source
        case Side.TARGET:
            return target
        case _:
            assert_never(side)


def _prepare(facts: PhaseFacts, cutover: ReleaseCutover, source: Release) -> Prepare | None:
    """The preparation of the order state, by the code of the source, which wrote it."""
    match facts.state:
        case OrderState.AS_IS:
            return None
        case OrderState.BACKED_UP:
            return Prepare(image=source.image, backup=cutover.metadata.uid)
        case OrderState.RESTORED:
            return _restore(cutover, source)
        case _:
            assert_never(facts.state)


def _restore(cutover: ReleaseCutover, source: Release) -> Prepare:
    report, rollback = cutover.status.report, cutover.status.rollback
    restores = cutover.spec.rollback.state is StateOnRollback.RESTORE
    backup = cutover.status.backup if restores else None
    return Prepare(
        image=source.image,
        restore=cutover.metadata.uid,
        mode=cutover.spec.rollback.state,
        incident=report.config_map if report else None,
        sha256=backup.sha256 if backup else "",
        nonce=rollback.nonce if rollback else "",
    )
