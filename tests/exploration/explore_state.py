"""The world of the exploration: what is kept of it, and what happens in it by itself.

Abstract: instants become "in time or late", a recording becomes the verdict it leads to, a
StatefulSet becomes the number of its exact manifest. Everything is hashable.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tradepulse_operator.api.cutover_status import CutoverPhase, RollbackStep

#: What a recording leads to: enough good seconds, not enough yet, …; `blind`: nothing for too long.
EVIDENCE = ("ok", "some", "breach", "gap", "none", "blind")
#: What the process tells of its event bus, beside the baseline; `silent`: nothing of late.
STREAMS = ("same", "differ", "silent")
#: Phases that may end with a word on it.
COMPARED = ("Baking", "Verifying")


class Cut(NamedTuple):
    """The persisted status of the cutover, as far as it matters."""

    phase: str = ""
    step: str = ""
    target: bool = False
    backup: bool = False
    verdict: str = ""
    reason: str = ""
    report: bool = False
    gave_up: bool = False
    paused: bool = False
    #: Whether the running release was measured.
    baseline: bool = False
    #: The checklist: "" unknown, pending, fail (a secret is missing) or pass.
    checks: str = ""
    #: The condition StreamsIntact: "" before it is told, True, False or Unknown.
    streams: str = ""


class Run(NamedTuple):
    """The persisted status of the runner, as far as it matters."""

    claimed: bool = False
    active: str = "S"
    refused: bool = False


class Template(NamedTuple):
    """What of a StatefulSet's manifest the world reacts to. `number` names the whole manifest."""

    number: int
    release: str
    backup: bool
    restore: bool
    mode: str
    halt: str
    kill: bool
    replicas: int


class Pod(NamedTuple):
    """The one pod. `state`: new, init failed, no image, started, ready, drained, hung or crashed;
    a process that hangs runs, and may send, but answers nobody."""

    template: Template
    state: str
    halt: str
    kill: bool
    deleting: bool = False
    restarted: bool = False

    @property
    def release(self) -> str:
        return self.template.release

    @property
    def runs(self) -> bool:
        """Whether its process runs, or ran and will again."""
        return self.state in ("started", "ready", "drained", "hung", "crashed")


class ExplorationState(NamedTuple):
    """Everything. `doing_*`: the request that a reconciler has decided on and not yet sent."""

    cut: Cut
    run: Run
    template: Template
    seen: Template
    pod: Pod | None
    #: The halt on the way back has lasted: evidence is due beside it.
    lasts: bool = False
    #: The present step has passed its limit; the whole rollback its deadline.
    late: bool = False
    overdue: bool = False
    #: On the state volume: the backup, how often it was restored, traces of the target, the latch.
    backup: bool = False
    restored: int = 0
    dirty: bool = False
    latched: bool = False
    #: Stage of the report in the API: 0 none, 1 evidence, 2 final.
    filed: int = 0
    abort: bool = False
    signed: bool = False
    suspend: bool = False
    #: The runner's spec means another release by now.
    moved: bool = False
    #: The check pod: "" none, new, good, missing (a secret), invalid or leaving.
    check: str = ""
    doing_cutover: tuple[object, ...] | None = None
    doing_runner: tuple[object, ...] | None = None
    #: Faults that may still happen, and what a person may still ask for.
    faults: int = 0
    wishes: tuple[str, ...] = ()

    @property
    def final(self) -> bool:
        return self.cut.phase in FINAL

    @property
    def asked(self) -> tuple[bool, bool]:
        """What the cutover's spec says by now, of what may change in it."""
        return self.abort, self.signed

    @property
    def unsigned(self) -> bool:
        """Waits for a signature."""
        return self.cut.phase == CutoverPhase.AWAITING_APPROVAL and not self.signed


#: The ends, in words of their own: what is explored must not be its own measure.
FINAL = {"Succeeded", "RolledBack", "Halted", "Failed"}
#: Phases whose decision rests on samples.
JUDGED = ("Preflight", "AwaitingApproval", "Baking", "Verifying")
#: Phases and rollback steps that a limit of their own ends.
_LIMITED = {
    CutoverPhase.HALTING,
    CutoverPhase.BACKING_UP,
    CutoverPhase.SWITCHING,
    RollbackStep.HALTING,
    RollbackStep.COLLECTING_EVIDENCE,
}

Happening = tuple[str, ExplorationState]


def without_pod(world: ExplorationState) -> ExplorationState:
    """The pod is gone; a request about it, guarded by its uid, has nothing to act on any more."""
    doing = world.doing_runner
    if doing is not None and doing[0] in ("delete", "annotate"):
        doing = ("void",)
    return world._replace(pod=None, doing_runner=doing)


def obedient(world: ExplorationState) -> Iterator[Happening]:
    """What a cluster and a process do by themselves, when asked properly."""
    if world.check == "new":
        yield "checked", world._replace(check="good")
    if world.check == "leaving":
        # A request about it, guarded by its uid, has nothing to act on any more.
        doing = world.doing_cutover
        void = doing is not None and doing[0] == "check gone"
        gone = ("void",) if void else doing
        yield "check pod gone", world._replace(check="", doing_cutover=gone)
    if world.seen is not world.template:
        yield "controller looks", world._replace(seen=world.template)
    pod = world.pod
    if pod is None:
        if world.seen.replicas:
            t = world.seen
            yield "pod made", world._replace(pod=Pod(t, "new", t.halt, t.kill))
        return
    if pod.deleting:
        yield "pod gone", without_pod(world)
        return
    if not world.seen.replicas:
        yield "pod stopped", world._replace(pod=pod._replace(deleting=True))
        return
    yield from _process(world, pod)


def _process(world: ExplorationState, pod: Pod) -> Iterator[Happening]:
    stays = bool(pod.halt) or world.latched
    if pod.state in ("new", "init failed"):
        yield "state prepared", _prepared(world, pod)
    elif pod.state == "hung":
        yield "probed", world._replace(pod=pod._replace(state="crashed", restarted=True))
    elif pod.state == "crashed":
        yield "restarted", world._replace(pod=pod._replace(state="started"))
    elif pod.kill and pod.runs and not world.latched:
        yield "kill switch latched", world._replace(latched=True)
    elif pod.state in ("started", "ready") and stays:
        yield "drained", world._replace(pod=pod._replace(state="drained"))
    elif pod.state == "started":
        yield "ready", world._replace(pod=pod._replace(state="ready"))
    elif pod.state == "drained" and not stays:
        yield "trades on", world._replace(pod=pod._replace(state="started"))


def _prepared(world: ExplorationState, pod: Pod) -> ExplorationState:
    """The state container did its work, each part once, and the process started."""
    t, found = pod.template, world
    if t.backup:
        found = found._replace(backup=True)
    if t.restore and t.mode == "restore" and found.backup and not found.restored:
        found = found._replace(restored=found.restored + 1, dirty=False)
    if t.restore and t.mode == "freeze":
        found = found._replace(latched=True)
    if t.release == "T":
        found = found._replace(dirty=True)
    return found._replace(pod=pod._replace(state="started"))


def time(world: ExplorationState) -> Iterator[Happening]:
    """Limits pass. No request is under way for that long: it is given up after 15 s."""
    if world.doing_cutover or world.doing_runner:
        return
    cut = world.cut
    limited = cut.phase in _LIMITED if not cut.step else cut.step in _LIMITED
    if limited and not world.late:
        if cut.step == RollbackStep.HALTING and not (world.lasts or world.filed):
            yield "halt lasts", world._replace(lasts=True)
        else:
            yield "late", world._replace(lasts=False, late=True)
    last = cut.phase == CutoverPhase.VERIFYING or cut.step in (
        RollbackStep.STOPPING,
        RollbackStep.STARTING,
    )
    if last and not world.final and not world.overdue:
        yield "overdue", world._replace(late=True, overdue=True)


def _wishes(world: ExplorationState) -> Iterator[Happening]:
    for wish in world.wishes:
        less = world._replace(wishes=tuple(other for other in world.wishes if other != wish))
        match wish:
            case "abort":
                yield wish, less._replace(abort=True)
            case "signed":
                yield wish, less._replace(signed=True)
            case "moved":
                yield wish, less._replace(moved=True)
            case "suspend":
                yield wish, less._replace(suspend=True)


def faults(world: ExplorationState) -> Iterator[Happening]:
    """What goes wrong, and what a person asks for."""
    if not world.final:
        yield from _wishes(world)
    yield from _check_faults(world)
    yield from _hangs(world)
    if world.suspend:
        yield "resume", world._replace(suspend=False)
    pod = world.pod
    if pod is None or not world.faults:
        return
    less = world._replace(faults=world.faults - 1)
    if pod.state == "new" and not pod.deleting:
        yield "state container fails", less._replace(pod=pod._replace(state="init failed"))
        if pod.release == "T":
            ready = _prepared(less, pod)._replace(dirty=less.dirty)
            yield "no image", ready._replace(pod=pod._replace(state="no image"))
    if pod.runs and pod.state != "crashed":
        yield "crash", less._replace(pod=pod._replace(state="crashed", restarted=True))
    yield "pod lost", without_pod(less)


def _hangs(world: ExplorationState) -> Iterator[Happening]:
    """The new release's process hangs on the way back, apart from all other faults: elsewhere the
    guard, or a limit of the phase, sees to it."""
    pod = world.pod
    back = world.cut.phase == CutoverPhase.ROLLING_BACK
    if "hangs" in world.wishes and back and pod and pod.runs and pod.release == "T":
        rest = tuple(wish for wish in world.wishes if wish != "hangs")
        yield "hangs", world._replace(wishes=rest, pod=pod._replace(state="hung"))


def _check_faults(world: ExplorationState) -> Iterator[Happening]:
    """One thing goes wrong with the check pod, apart from all other faults."""
    if "unlucky" not in world.wishes:
        return
    less = world._replace(wishes=tuple(wish for wish in world.wishes if wish != "unlucky"))
    if world.check == "new":
        yield "no secret", less._replace(check="missing")
        yield "invalid", less._replace(check="invalid")
    if world.check:
        yield "check pod lost", less._replace(check="leaving")
