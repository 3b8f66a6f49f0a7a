"""What a runner's children should be, given how far its cutover has come.

The cutover reconciler writes only the cutover's status; the runner reconciler reads it here and
owns every child. So two loops never write the same object.
"""

from __future__ import annotations

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.cutover_status import CutoverPhase, RollbackStep
from tradepulse_operator.api.policy import StateOnRollback
from tradepulse_operator.api.release import Release
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.api.spec.drill import DrillTarget
from tradepulse_operator.resources.desired_run import Intent, Prepare

__all__ = ["Intent", "Prepare", "intent"]

_BEFORE = {
    None,
    CutoverPhase.PENDING,
    CutoverPhase.PREFLIGHT,
    CutoverPhase.AWAITING_APPROVAL,
    CutoverPhase.FAILED,
}
_FORWARD = {
    CutoverPhase.BACKING_UP,
    CutoverPhase.SWITCHING,
    CutoverPhase.BAKING,
    CutoverPhase.SUCCEEDED,
}
_STILL_NEW = {RollbackStep.HALTING, RollbackStep.COLLECTING_EVIDENCE}


def intent(runner: TradingRunner, release: Release, cutover: ReleaseCutover | None) -> Intent:
    """The desired run of `runner`, whose active release is `release`, under its claimed cutover."""
    kill = _kill_switch(runner)
    replicas = 0 if runner.spec.suspend or runner.metadata.deletion_timestamp else 1
    plain = Intent(release=release, replicas=replicas, kill_switch=kill, replace=True)
    if cutover is None or cutover.status.source is None or cutover.status.target is None:
        return plain
    return _under(plain, cutover, cutover.status.source, cutover.status.target)


def _kill_switch(runner: TradingRunner) -> str:
    """Why the kill switch is to be engaged; "" when it isn't."""
    if runner.spec.kill_switch.engaged:
        return f"spec: {runner.spec.kill_switch.reason}"
    running = runner.status.drill.running if runner.status.drill else None
    if running is not None and running.target is DrillTarget.LIVE:
        return f"drill of {running.scheduled_for}: reset it by name and reason"
    return ""


def _under(plain: Intent, cutover: ReleaseCutover, source: Release, target: Release) -> Intent:
    phase, uid, rollback = cutover.status.phase, cutover.metadata.uid, cutover.status.rollback
    if phase in _BEFORE:
        return plain
    if phase is CutoverPhase.HALTING:
        return Intent(
            source, plain.replicas, halt=f"halt {uid} cutover", kill_switch=plain.kill_switch
        )
    if phase in _FORWARD:
        prepare = Prepare(image=source.image, backup=uid)
        return Intent(target, plain.replicas, "", plain.kill_switch, prepare=prepare, replace=True)
    if rollback is not None and phase is CutoverPhase.ROLLING_BACK and rollback.step in _STILL_NEW:
        return Intent(
            target,
            plain.replicas,
            halt=f"halt {uid} rollback",
            kill_switch=plain.kill_switch,
            prepare=Prepare(image=source.image, backup=uid),
        )
    return _back(plain, cutover, source)


def _back(plain: Intent, cutover: ReleaseCutover, source: Release) -> Intent:
    report, rollback = cutover.status.report, cutover.status.rollback
    restores = cutover.spec.rollback.state is StateOnRollback.RESTORE
    backup = cutover.status.backup if restores else None
    prepare = Prepare(
        image=source.image,
        restore=cutover.metadata.uid,
        mode=cutover.spec.rollback.state,
        incident=report.config_map if report else None,
        sha256=backup.sha256 if backup else "",
        nonce=rollback.nonce if rollback else "",
    )
    halted = cutover.status.phase is CutoverPhase.HALTED
    kill = f"cutover {cutover.metadata.name} halted" if halted else plain.kill_switch
    # Until the pod of the target is gone there is no nonce, and without it nothing is to start.
    stops = cutover.status.phase is CutoverPhase.ROLLING_BACK
    stops = stops and rollback is not None and rollback.step is RollbackStep.STOPPING
    replicas = 0 if stops else plain.replicas
    return Intent(source, replicas, "", kill, prepare=prepare, replace=True)
