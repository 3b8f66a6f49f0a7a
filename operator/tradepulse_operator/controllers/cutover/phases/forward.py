"""A cutover on its way forward, one small decision a phase."""

from __future__ import annotations

from typing import Any

from tradepulse_operator.api.cutover_status import BackupRecord, CutoverPhase
from tradepulse_operator.api.reasons import CutoverReason
from tradepulse_operator.api.release import Release
from tradepulse_operator.api.units import seconds
from tradepulse_operator.controllers.checklist.approvals import signatures, unsigned
from tradepulse_operator.controllers.checklist.checklist import gate, holding
from tradepulse_operator.controllers.checklist.data_services import require_served
from tradepulse_operator.controllers.cutover.baseline import measured
from tradepulse_operator.controllers.cutover.drained import undrained
from tradepulse_operator.controllers.cutover.status import POLL, enter, entered, say
from tradepulse_operator.controllers.cutover.watch import (
    bake_limits,
    checkpoint,
    due,
    in_words,
    record,
    stored,
)
from tradepulse_operator.controllers.data_services.compare import compared, differing, reconfigured
from tradepulse_operator.controllers.observed.termination import Statement, statement
from tradepulse_operator.controllers.observed.views import CutoverObserved, PodView
from tradepulse_operator.controllers.step import Apply, Step, Wait
from tradepulse_operator.guard.bake import BakeProgress, Decision, advance, begin, next_look
from tradepulse_operator.resources.config.heartbeat import require_seen
from tradepulse_operator.resources.config.release import Rendered, render_release
from tradepulse_operator.resources.config.render import ConfigError
from tradepulse_operator.resources.runner.config_map import config_map

from .preflight import Refusal, preflight, stopping
from .rollback import halted, roll_back
from .superseded import superseded

#: Restarts while it starts that count as a crash: it never came up.
_CRASHED = CutoverReason.CRASHED


def pending(observed: CutoverObserved) -> Step:
    """Wait to be the runner's one cutover; then fix what is moved from where to where."""
    name, runner = observed.cutover.spec.runner, observed.runner
    if observed.cutover.spec.abort:
        return _aborted(observed)
    if runner is None:
        return say(observed, f"waits for TradingRunner {name}, which doesn't exist", 10 * POLL)
    if runner.status.cutover != observed.cutover.metadata.name:
        return say(observed, f"waits until TradingRunner {name} is free for it", 10 * POLL)
    source = runner.status.active_release
    if source is None:
        return say(observed, f"waits for the first release of TradingRunner {name}", 10 * POLL)
    try:
        spec = observed.cutover.spec.release or runner.spec.release
        rendered = render_release(runner, spec, observed.user_config)
        guardrails, scrape = (
            observed.cutover.spec.guardrails,
            runner.spec.monitoring.scrape_interval,
        )
        require_seen(rendered, spec.config, guardrails, scrape, "spec.guardrails")
        require_served(observed.cutover.spec.baseline, runner.spec)
    except ConfigError as error:
        return fail(observed, error.reason, str(error))
    return _prepared(observed, source, rendered)


def _prepared(observed: CutoverObserved, source: Release, rendered: Rendered) -> Step:
    status = observed.cutover.status
    if (status.source, status.target) != (source, rendered.release):
        message = f"stores the configuration of release {rendered.release.id}"
        return say(observed, message, source=source, target=rendered.release)
    if observed.target_config is None and observed.runner is not None:
        return Apply(config_map(observed.runner, rendered.text))
    message = f"checks whether release {source.id} can be moved to {rendered.release.id}"
    return enter(observed, CutoverPhase.PREFLIGHT, message)


def checking(observed: CutoverObserved) -> Step:
    """Preflight and AwaitingApproval: nothing is touched before everything that the way back needs
    is there, and everyone who must has signed. What was checked is checked again after the wait."""
    if observed.cutover.spec.abort:
        return _aborted(observed)
    outcome = superseded(observed) or preflight(observed)
    if isinstance(outcome, Refusal):
        return fail(observed, outcome.reason, outcome.message)
    asked = gate(observed)
    if asked:
        return asked
    waits = outcome.message if outcome else holding(observed)
    if waits:
        return say(observed, waits, 5 * POLL)
    return _unsigned(observed) or _halt(observed)


def _unsigned(observed: CutoverObserved) -> Step | None:
    cutover = observed.cutover
    lacks = unsigned(cutover, observed.runner) if observed.runner else ""
    if not lacks:
        return None
    if cutover.status.phase is CutoverPhase.AWAITING_APPROVAL:
        return say(observed, lacks, 10 * POLL)
    return enter(observed, CutoverPhase.AWAITING_APPROVAL, lacks)


def _halt(observed: CutoverObserved) -> Step:
    source = observed.cutover.status.source
    if source and observed.pod and observed.pod.image_id:
        # What the node resolved the image to: the way back has to end with the very same.
        source = source.model_copy(update={"image_id": observed.pod.image_id})
    signed = signatures(observed.cutover, observed.runner) if observed.runner else ""
    message = "the active release cancels its orders and drains"
    message = f"{signed}; {message}" if signed else message
    return enter(
        observed, CutoverPhase.HALTING, message, source=source, baseline=measured(observed)
    )


def halting(observed: CutoverObserved) -> Step:
    """The source stops sending, cancels and drains; it may still go on as if nothing had been."""
    if observed.cutover.spec.abort:
        return _aborted(observed)
    refused = stopping(observed)
    if refused:
        return fail(observed, refused.reason, refused.message)
    cutover = observed.cutover
    why = halted(observed, cutover.status.source)
    left = entered(cutover.status) + seconds(cutover.spec.halt_deadline) - observed.now
    if not why and left <= 0:
        observed, why = undrained(observed, cutover.status.source)
    if why:
        return enter(observed, CutoverPhase.BACKING_UP, f"{why}; its state is backed up")
    return say(observed, "waits for the active release to cancel its orders", min(POLL, left))


def backing_up(observed: CutoverObserved) -> Step:
    """The target's pod backs the state up before its own process may start."""
    pod = _target_pod(observed)
    if pod is None or pod.init_exit is None:
        return _not_ready(observed, pod, "waits for the backup of the order state")
    if pod.init_exit != 0:
        why = statement(pod.init_message).problem or pod.init_message
        message = f"the state container ended with {pod.init_exit}: {why}"
        return roll_back(observed, CutoverReason.BACKUP_FAILED, message)
    told = statement(pod.init_message)
    backup = _backup(observed, told)
    if backup is None:
        why = told.problem or f"it told of no backup {observed.cutover.metadata.uid}"
        message = f"the state container ended with 0, but {why}"
        return roll_back(observed, CutoverReason.BACKUP_FAILED, message)
    message = f"the state is backed up ({backup.files} files); the new release starts"
    return enter(observed, CutoverPhase.SWITCHING, message, backup=backup)


def switching(observed: CutoverObserved) -> Step:
    """The target starts and reconciles with the venue."""
    pod = _target_pod(observed)
    if pod is None or not pod.ready:
        return _not_ready(observed, pod, "waits for the new release to be ready")
    target = observed.cutover.status.target
    if target and target.image_id and pod.image_id not in (None, target.image_id):
        moved = (
            f"{target.image} is now {pod.image_id}, it was {target.image_id} when it was checked"
        )
        return roll_back(observed, CutoverReason.IMAGE_CHANGED, moved)
    if target and pod.image_id:
        target = target.model_copy(update={"image_id": pod.image_id})
    return enter(
        observed,
        CutoverPhase.BAKING,
        f"the new release trades; it bakes for {observed.cutover.spec.bake}",
        reason=CutoverReason.WATCHING,
        target=target,
        bake=stored(begin(observed.now)),
    )


def baking(observed: CutoverObserved) -> Step:
    """The guard watches. What it finds is persisted before anything follows from it."""
    cutover, runner, pod = observed.cutover, observed.runner, _target_pod(observed)
    if runner is None or observed.recording is None:
        return Wait("waits for samples", seconds(cutover.spec.guardrails.interval))
    if pod and pod.waiting:
        return roll_back(observed, pod.waiting, f"the new release can't run: {pod.waiting}")
    held = bake_limits(cutover, runner)
    before = checkpoint(cutover.status.bake, entered(cutover.status))
    progress = advance(before, observed.recording, observed.now, held)
    if progress.decision is not Decision.CONTINUE:
        return _decided(observed, progress)
    changes: dict[str, Any] = {}
    if due(before, progress.checkpoint, held) or _news(observed, progress):
        changes["bake"] = stored(progress.checkpoint)
        if progress.verdict:
            changes["verdict"] = record(progress.verdict)
    target = cutover.status.target
    reason, message = in_words(progress.verdict, target.id if target else "")
    if progress.verdict is None and not changes:
        return Wait(message, next_look(progress.checkpoint, observed.now, held))
    look = next_look(progress.checkpoint, observed.now, held)
    return say(observed, message, look, reason=reason, **changes)


def _news(observed: CutoverObserved, progress: BakeProgress) -> bool:
    """Whether the guard found something else than what the status tells."""
    told, verdict = observed.cutover.status.verdict, progress.verdict
    if verdict is None:
        return False
    decisive = verdict.decisive
    return told is None or (told.verdict, told.guardrail) != (decisive.kind, decisive.guardrail)


def _decided(observed: CutoverObserved, progress: BakeProgress) -> Step:
    verdict, spec = progress.verdict, observed.cutover.spec
    changes: dict[str, Any] = {"bake": stored(progress.checkpoint)}
    if verdict:
        changes["verdict"] = record(verdict)
    if progress.decision is Decision.PROMOTE:
        told = compared(observed, moved=reconfigured(observed.cutover))
        message = f"verified as good for {progress.checkpoint.verified_seconds:g} s"
        return enter(told, CutoverPhase.SUCCEEDED, message + differing(told), **changes)
    if progress.decision is Decision.INCONCLUSIVE or verdict is None:
        message = f"the guard could tell nothing for {spec.switch_deadline} (onInconclusive)"
        return roll_back(observed, CutoverReason.INCONCLUSIVE, message, **changes)
    decisive = verdict.decisive
    message = f"{decisive.guardrail}: {decisive.message}"
    return roll_back(observed, decisive.reason, message, **changes)


def fail(observed: CutoverObserved, reason: str, message: str) -> Step:
    """End before anything was switched; the source goes on."""
    return enter(observed, CutoverPhase.FAILED, f"{reason}: {message}", reason=reason)


def unreported(_: CutoverObserved) -> Step:
    """After an end without a rollback there is nothing left to do."""
    return Wait("ended")


def _aborted(observed: CutoverObserved) -> Step:
    return fail(
        observed, CutoverReason.ABORTED, "aborted by spec.abort before anything was switched"
    )


def _target_pod(observed: CutoverObserved) -> PodView | None:
    pod, target = observed.pod, observed.cutover.status.target
    return pod if pod and target and pod.release == target.id and not pod.deleting else None


def _not_ready(observed: CutoverObserved, pod: PodView | None, message: str) -> Step:
    """Wait for `pod` until switchDeadline, unless it shows that it won't come."""
    cutover = observed.cutover
    if pod and pod.waiting:
        return roll_back(observed, pod.waiting, f"the new release can't start: {pod.waiting}")
    if pod and (pod.restarts > 0 or pod.phase == "Failed"):
        return roll_back(observed, _CRASHED, "the new release crashed while it started")
    left = entered(cutover.status) + seconds(cutover.spec.switch_deadline) - observed.now
    if left <= 0:
        late = f"not ready within switchDeadline, {cutover.spec.switch_deadline}"
        return roll_back(observed, CutoverReason.NOT_READY, late)
    return say(observed, message, min(POLL, left))


def _backup(observed: CutoverObserved, told: Statement) -> BackupRecord | None:
    """The backup of this very cutover, if the state container told of it."""
    backup = told.backup
    return backup if backup and backup.id == observed.cutover.metadata.uid else None
