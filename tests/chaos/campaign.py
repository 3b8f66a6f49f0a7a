"""One case from its first life to the verdict, and many cases by a few processes at once."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tests.chaos import child
from tests.chaos.child import spawn
from tests.chaos.cpu_starvation import STARVED, CpuStarvation
from tests.chaos.damage import damage
from tests.chaos.judge import Verdict, judge, read_notes
from tests.chaos.plan import Case, Life, Plan, chance_of, plan
from tests.chaos.strategy import Decisions
from tests.chaos.venues import VENUES, ChaosVenue
from tradepulse_runner.killswitch import KillSwitch

#: Seconds that one life may take before it counts as stuck.
LONGEST_LIFE = 45.0
#: Lives without a planned end that a case may need before it counts as never recovering.
MORE_LIVES = 4


@dataclass
class Result:
    """A case's outcome; ``hit``: whether the planned moment came; times in seconds.

    ``stalled``: a life ran out of time. ``hungry``: the greatest share of a life's time for which
    the runner or the venue had no processor."""

    venue: str
    point: str
    seed: int
    hit: bool = False
    crashes: int = 0
    lives: int = 0
    orders: int = 0
    fills: int = 0
    lost: int = 0
    doubled: int = 0
    differing: int = 0
    resting: int = 0
    halted: int = 0
    refused: int = 0
    converged: list[float] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    took: float = 0.0
    stalled: bool = False
    hungry: float = 0.0

    @property
    def void(self) -> bool:
        """Whether nothing can be said: it ran out of time, and the machine gave it none. What was
        lost or doubled counts all the same."""
        return self.stalled and self.hungry >= STARVED and not (self.lost or self.doubled)

    @property
    def case(self) -> Case:
        return Case(self.venue, self.point, self.seed)


class Trial:
    """One case in ``folder``."""

    def __init__(self, case: Case, folder: Path) -> None:
        self._case, self._folder = case, folder
        self._plan: Plan = plan(case)
        self._venue: ChaosVenue = VENUES[case.venue]()
        self._result = Result(case.venue, case.point, case.seed)
        self._cold_start = False
        self._state = folder / "state"
        self._ever_cold = False

    def run(self) -> Result:
        began = time.monotonic()
        self._state.mkdir()
        if self._plan.tmpfs:
            mount(self._state)
        self._venue.start(self._case, self._folder)
        try:
            self._live()
            self._judge()
        finally:
            self._venue.stop()
            if self._plan.tmpfs:
                unmount(self._state)
        self._result.took = time.monotonic() - began
        return self._result

    # -- the lives -------------------------------------------------------------------------

    def _live(self) -> None:
        *lives, last = self._plan.lives
        for life in lives:
            self._once(life)
        if self._plan.damage:
            chance = chance_of(self._case, "damage")
            damage(self._state, self._venue.name, self._plan.damage, chance)
        for again in range(MORE_LIVES):
            if self._once(replace(last, number=last.number + again)) == child.CLEAN:
                return
        self._find(f"never ended cleanly in {MORE_LIVES} lives")

    def _once(self, life: Life) -> int:
        result = self._result
        result.lives += 1
        if life.faulty:
            self._venue.misbehave(self._case, life.number)
        else:
            self._venue.behave()
        cold, self._cold_start = self._cold_start, False
        pid = spawn(self._case, life, self._venue, self._folder, cold_start=cold)
        status, hungry = wait(pid, self._venue.pid)
        result.hungry = max(result.hungry, hungry)
        (self._state / "filler").unlink(missing_ok=True)  # the disk has room again
        if status is None:
            result.stalled = True
            self._find(f"life {life.number} was still there after {LONGEST_LIFE} s")
            return child.STUCK
        if os.WIFSIGNALED(status):
            result.crashes += 1
            result.hit |= life.crash_at == self._case.point
            return -os.WTERMSIG(status)
        return self._ended(life, os.WEXITSTATUS(status))

    def _ended(self, life: Life, code: int) -> int:
        if code == child.REFUSED:  # the message names two remedies; this is the second
            self._result.refused += 1
            self._cold_start = self._ever_cold = True
        elif code == child.LATCHED:
            self._result.halted += 1
            KillSwitch(self._state, clock=time.time).reset(by="chaos", reason="campaign")
        elif code == child.STUCK:
            self._result.stalled = True
            self._find(f"life {life.number} never traded")
        elif code == child.BROKEN:
            tail = (self._folder / f"log.{life.number}").read_text()[-2000:]
            self._find(f"life {life.number} failed: {tail}")
        return code

    def _find(self, text: str) -> None:
        self._result.findings.append(text)

    # -- the verdict -----------------------------------------------------------------------

    def _judge(self) -> None:
        result, venue_state = self._result, self._venue.venue_state()
        notes = read_notes(self._folder)
        harmed = self._plan.damage.startswith(("journal", "snapshot"))
        try:
            verdict = judge(
                venue_state,
                Decisions(self._folder / "decisions").read(),
                self._state,
                self._venue.name,
                notes=notes,
                history=not harmed and not self._ever_cold,
            )
        except Exception as error:  # no book at all: the runner never came that far
            verdict = Verdict(findings=[f"cannot be judged: {type(error).__name__}: {error}"])
        result.orders, result.fills = len(venue_state.orders), len(venue_state.fills)
        result.lost, result.doubled = verdict.lost, verdict.doubled
        result.differing, result.resting = verdict.differing, verdict.resting
        result.converged = [row["converged"] for row in notes if "converged" in row]
        result.findings += verdict.findings
        self._latched_rightly()

    def _latched_rightly(self) -> None:
        """Once the latch's file has its name, the switch is engaged at the next start."""
        if self._case.point == "latch.fsync-dir" and self._result.hit and not self._result.halted:
            self._find("the kill switch was forgotten")


def wait(pid: int, venue: int | None) -> tuple[int | None, float]:
    """Its wait status, None after having killed it for taking too long; and how hungry it was, or
    the process of its ``venue``."""
    handle = os.pidfd_open(pid)
    starvation = CpuStarvation(pid, *([venue] if venue else []))
    ended, hungry = False, 0.0
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        ended = bool(poll.poll(LONGEST_LIFE * 1000))
        hungry = starvation.share()
    finally:
        os.close(handle)
        if not ended:
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
    return (status if ended else None), hungry


def mount(path: Path) -> None:
    """A file system of its own that is soon full. Needs root."""
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={child.DISK}", "none", str(path)], check=True
    )


def unmount(path: Path) -> None:
    subprocess.run(["umount", str(path)], check=True)


def can_mount() -> bool:
    """Whether full disks can be tried here."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            return False
        unmount(Path(folder))
        return True


def try_case(case: Case, base: Path, *, keep: bool) -> Result:
    """Run ``case`` below ``base``; its folder stays if it went wrong."""
    name = f"{case.venue}-{case.point}-{case.seed}".replace(" ", "_")
    folder = base / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    result = Trial(case, folder).run()
    if not (keep or result.findings) or result.void:
        shutil.rmtree(folder)
    return result


@dataclass(frozen=True)
class Office:
    """Where a campaign works: the cases' folders are in ``base``, a line a case in ``results``.

    ``keep``: folders of cases that went well stay, too. ``stop``: end with the first finding.
    """

    base: Path
    results: Path
    keep: bool = False
    stop: bool = False

    @property
    def closed(self) -> bool:
        return self.stop and any(r.findings and not r.void for r in load(self.results))


def work(cases: Iterable[Case], office: Office) -> None:
    """Run ``cases`` one after the other."""
    for case in cases:
        if office.closed:
            return
        try:
            result = try_case(case, office.base, keep=office.keep)
        except Exception as error:
            text = f"the harness failed: {type(error).__name__}: {error}"
            result = Result(case.venue, case.point, case.seed, findings=[text])
        line = json.dumps(asdict(result)) + "\n"
        fd = os.open(office.results, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(fd, line.encode())
        os.close(fd)


def share(cases: list[Case], jobs: int, office: Office) -> list[int]:
    """Fork ``jobs`` workers; their pids."""
    pids = []
    for number in range(jobs):
        pid = os.fork()
        if pid == 0:
            try:
                work(cases[number::jobs], office)
            finally:
                os._exit(0)
        pids.append(pid)
    return pids


def by_case(results: Path, wanted: Iterable[Case]) -> dict[Case, Result]:
    """One result a case, however often it was run: one with findings before one without, and a
    void one only while there is no other."""
    wished, found = set(wanted), dict[Case, Result]()
    for result in load(results):
        if result.case in wished:
            before = found.get(result.case)
            if before is None or _weight(result) > _weight(before):
                found[result.case] = result
    return found


def _weight(result: Result) -> int:
    return 0 if result.void else 2 if result.findings else 1


def load(results: Path) -> list[Result]:
    """What was run already; a line that a stopped campaign left unfinished is dropped."""
    found: list[Result] = []
    if results.exists():
        for line in results.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                found.append(Result(**json.loads(line)))
    return found
