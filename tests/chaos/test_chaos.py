"""A short chaos campaign: every moment once, and the campaign itself on planted defects.

The full one is ``make chaos-runner``. It runs as a process of its own because it forks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.campaign import Result, by_case, load
from tests.chaos.cpu_starvation import STARVED, CpuStarvation
from tests.chaos.defects import DEFECTS
from tests.chaos.judge import judge
from tests.chaos.plan import Case, Life, plan
from tests.chaos.points import DAMAGE, LATCH, POINTS
from tests.chaos.strategy import Decision
from tests.chaos.table import failures, table
from tests.chaos.venue_state import OrderAtVenue, VenueState
from tests.support.runner.process import ROOT, environment
from tradepulse_runner.domain import OrderType, Side
from tradepulse_runner.files.schema import ORDER_BOOK
from tradepulse_runner.files.snapshot import SnapshotFile
from tradepulse_runner.oms.state import OmsState


def campaign(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.chaos", "--venues", "paper", "--base", str(folder)]
    env = environment()
    return subprocess.run(
        [*command, *arguments], env=env, cwd=ROOT, check=False, capture_output=True, text=True
    )


def test_killed_or_harmed_it_loses_and_doubles_nothing(tmp_path: Path) -> None:
    done = campaign(tmp_path, "--seeds", "1", "--jobs", "6")
    results = load(tmp_path / "results.jsonl")
    assert {r.point for r in results} >= {*POINTS, *DAMAGE} - {"disk full"}, done.stdout
    assert [r.findings for r in results if r.findings] == [], done.stdout
    # Chance decides whether a moment comes; with a seed more the rest does, too.
    assert sum(r.hit for r in results) > len(POINTS) / 2
    assert sum(r.orders for r in results) > len(POINTS)


@pytest.mark.parametrize("defect", ["written-afterwards", "sent-again"])
def test_planted_defects_are_found(defect: str, tmp_path: Path) -> None:
    points = DEFECTS[defect][1]
    plant = ("--defect", defect, "--points", points, "--seeds", "60", "--stop", "--jobs", "4")
    done = campaign(tmp_path, *plant)
    assert done.returncode == 1, done.stdout
    assert "repeat: python -m tests.chaos" in done.stdout


def test_a_case_is_the_same_each_time() -> None:
    cases = [Case("paper", point, seed) for point in POINTS + DAMAGE for seed in range(20)]
    assert [plan(c) for c in cases] == [plan(c) for c in cases]
    assert len({str(plan(c)) for c in cases}) > len(cases) / 2


def test_the_last_life_is_never_harmed() -> None:
    for point in POINTS + DAMAGE:
        for seed in range(20):
            last = plan(Case("paper", point, seed)).lives[-1]
            assert last == Life(last.number, last.decisions, faulty=last.faulty, ahead=last.ahead)


def test_a_moment_that_never_came_fails_the_campaign() -> None:
    result = Result("paper", LATCH[0], 0)
    assert failures([result]) == [f"paper, {LATCH[0]}: the moment never came"]
    assert failures([result, Result("paper", LATCH[0], 1, hit=True)]) == []
    assert LATCH[0] in table([result])


# -- a machine that gives no time ----------------------------------------------------------------


def on_one_processor(code: str) -> subprocess.Popen[bytes]:
    """A process at ``code`` that shares the first processor with whoever else was told so."""
    pin = f"import os, time; os.sched_setaffinity(0, [{min(os.sched_getaffinity(0))}])"
    script = f"{pin}\nos.write(1, b'!')\n{code}"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.read(1) == b"!"
    return process


def test_a_process_without_a_processor_is_distinguished_from_one_that_waits() -> None:
    processes = [on_one_processor("time.sleep(600)")]
    processes += [on_one_processor("while True: pass") for _ in range(8)]
    idle, busy, *_ = processes
    try:
        starved, waiting = CpuStarvation(busy.pid), CpuStarvation(idle.pid)
        time.sleep(1.0)  # what is measured is a span
        assert starved.share() > STARVED  # an eighth of one processor is its due
        assert waiting.share() < STARVED / 2
        busy.kill()
        os.waitid(os.P_PID, busy.pid, os.WEXITED | os.WNOWAIT)
        assert starved.share() > 0  # also once it has ended, until it is reaped
    finally:
        for process in processes:
            process.kill()
            process.wait()


STARVING = Result(
    "binance", "cancel.send", 1, findings=["life 1 never traded"], stalled=True, hungry=0.9
)


@pytest.mark.parametrize(
    "changes", [{"hungry": 0.2}, {"stalled": False}, {"lost": 1}, {"doubled": 1}]
)
def test_only_a_case_that_ran_out_of_time_for_want_of_it_is_void(changes: dict[str, Any]) -> None:
    assert STARVING.void
    judged = replace(STARVING, **changes)
    assert not judged.void
    assert "never traded" in failures([judged])[0]


def test_a_case_that_could_not_be_judged_is_neither_counted_nor_passed_over() -> None:
    good = replace(STARVING, seed=2, findings=[], stalled=False, hit=True)
    assert " 1 " in table([STARVING, good]).splitlines()[-1]
    [told] = failures([STARVING, good])
    assert "seed 1: not judged, the machine gave it no time (90%" in told


def test_of_several_runs_of_a_case_a_finding_stays_and_a_void_one_goes(tmp_path: Path) -> None:
    file, case = tmp_path / "results.jsonl", STARVING.case
    good = replace(STARVING, findings=[], stalled=False)
    bad = replace(STARVING, hungry=0.0)

    def kept(*rows: Result) -> Result:
        file.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows))
        return by_case(file, [case])[case]

    assert kept(STARVING) == STARVING
    assert kept(STARVING, good, STARVING) == good
    assert kept(good, bad, good, STARVING) == bad
    assert by_case(file, []) == {}


# -- the judge ---------------------------------------------------------------------------------

BOUGHT = OrderAtVenue(
    "id-1", "X", Side.BUY, OrderType.LIMIT, Decimal(10), Decimal(2), Decimal(2), "filled"
)
WANTED = Decision(Decimal(2), "X", Side.BUY, OrderType.LIMIT, Decimal(10))
VENUE_STATE = VenueState((BOUGHT,), frozenset({"t1"}), {"X": Decimal(2)}, Decimal(-20))


def book(folder: Path, **changes: object) -> Path:
    """A state directory whose book agrees with ``VENUE_STATE``, ``changes`` excepted."""
    state = OmsState(
        positions={"X": Decimal(2)}, cash=Decimal(-20), trades={"t1": None}, cursor="t1"
    )
    order = {
        "id": "id-1", "status": "filled", "epoch": 1, "sent_at": 0.0, "filled": "2",
        "venue_id": "", "reason": "", "final": None,
        "order": {
            "symbol": "X", "side": "buy", "quantity": "2", "type": "limit", "price": "10",
            "algo": "a",
        },
    }  # fmt: skip
    payload = {"state": {**state.to_json(), "orders": [order], **changes}, "venue": "v", "seq": 9}
    SnapshotFile(folder / "v_oms.json", ORDER_BOOK).save(payload)
    return folder


def found(venue_state: VenueState, state_dir: Path, **notes: str) -> list[str]:
    return judge(venue_state, [WANTED], state_dir, "v", notes=[dict(notes)]).findings


def test_a_book_that_agrees_is_good(tmp_path: Path) -> None:
    assert found(VENUE_STATE, book(tmp_path)) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"orders": []}, "lost"),
        ({"trades": []}, "lost"),
        ({"trades": ["t1", "t2"]}, "invented"),
        ({"positions": {"X": "2.00000001"}}, "position"),
        ({"cash": "-20.00000001"}, "cash"),
    ],
)
def test_a_book_that_differs_is_not(changes: dict[str, object], word: str, tmp_path: Path) -> None:
    assert word in " ".join(found(VENUE_STATE, book(tmp_path, **changes)))


def test_a_decision_that_became_two_orders_is_doubled(tmp_path: Path) -> None:
    twice = VenueState((BOUGHT, BOUGHT), VENUE_STATE.fills, VENUE_STATE.positions, VENUE_STATE.cash)
    verdict = judge(twice, [WANTED], book(tmp_path), "v", notes=[])
    assert verdict.doubled == 2  # the id, and the decision
    undecided = judge(VENUE_STATE, [], book(tmp_path), "v", notes=[])
    assert "stems from no decision" in undecided.findings[0]


def test_a_correction_is_a_finding_even_when_all_is_right_at_the_end(tmp_path: Path) -> None:
    assert found(VENUE_STATE, book(tmp_path), drift="position", of="X") == ["drift: position: X"]
