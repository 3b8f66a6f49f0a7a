"""The runner is measured in the look that begins the halt; what follows from it later."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.support.operator.cutovers import (
    NOW,
    PHASE,
    SOURCE,
    TRADING,
    UID,
    Samples,
    cutover,
    pod,
    rollback,
    runner,
    seen,
    status,
    written,
)
from tests.support.operator.recordings import RecordedWorld, Runner
from tradepulse_operator.api.baseline import MOST_POSITIONS, Baseline, BaselinePolicy
from tradepulse_operator.api.cutover_status import BackupRecord, CutoverPhase, RollbackStep
from tradepulse_operator.common.time import instant
from tradepulse_operator.controllers.cutover.baseline import service_of
from tradepulse_operator.controllers.cutover.reconcile import decide
from tradepulse_operator.controllers.cutover.watch import bake_limits, verify_limits
from tradepulse_operator.controllers.observed.views import CutoverObserved, ProcessView
from tradepulse_operator.guard.limits import limits
from tradepulse_operator.guard.samples import Recording

ASKED = {"baseline": {"window": "5m", "errorRateIncrease": 0.004, "p95Increase": 0.5}}
BOOK = replace(
    TRADING,
    positions=(("paper", "BTC-USD", "1.5"), ("paper", "ETH-USD", "-2")),
    snapshot_generation=12,
    snapshot_sha256="abc",
)


def halting(
    spec: dict[str, Any] | None = None,
    recording: Recording | None = None,
    process: ProcessView | None = BOOK,
) -> Baseline:
    """The baseline that the write which begins the halt records."""
    observed = seen(
        cutover(status(PHASE.PREFLIGHT), **(spec or {})),
        pod=pod(SOURCE),
        process=process,
        recording=recording or Samples("ok", seconds=1000).recording(),
    )
    after = written(decide(observed))
    assert after.phase is PHASE.HALTING
    assert after.baseline
    return after.baseline


def baked(found: Baseline, target: Runner, **spec: Any) -> CutoverObserved:
    """A bake of `target` that has gone on for ten minutes, after that baseline."""
    return seen(
        cutover(status(PHASE.BAKING, 600, baseline=found), **spec),
        pod=pod(),
        recording=RecordedWorld(target).recording(NOW - 900, NOW),
    )


def test_it_is_recorded_with_the_write_that_begins_the_halt() -> None:
    found = halting()
    assert found.service
    assert found.service.window == "10m"
    assert found.service.requests == pytest.approx(2 * 600, rel=0.03)
    assert (found.service.error_rate_limit, found.service.p95_limit) == (None, None)
    assert found.book
    assert (found.book.generation, found.book.sha256) == (12, "abc")
    assert [p.quantity for p in found.book.positions] == ["1.5", "-2"]


def test_limits_follow_where_they_are_asked_for() -> None:
    found = halting(ASKED).service
    assert found
    assert found.requests == pytest.approx(2 * 300, rel=0.05)
    assert found.error_rate_limit == pytest.approx(0.004 + 3 / 600, abs=0.001)
    assert found.p95_limit is not None


def test_the_recorded_instant_is_the_measured_one() -> None:
    """Whoever has the samples gets the same baseline again."""
    recording = Samples("ok", seconds=1000).recording()
    found = halting(ASKED, recording)
    assert instant(found.at) == max(at for one in recording.runner for at, _ in one.points)
    held = limits(cutover(status(None)).spec.guardrails, "15s")
    policy = BaselinePolicy.model_validate(ASKED["baseline"])
    assert service_of(recording, instant(found.at), policy, held) == found.service


def test_what_cannot_be_seen_is_left_out() -> None:
    assert halting(process=None).book is None
    assert service_of(Recording(0, 1, outage="503"), 1, BaselinePolicy(), _held()) is None


def _held() -> Any:
    return limits(cutover(status(None)).spec.guardrails, "15s")


def test_a_status_stays_small() -> None:
    many = tuple(("paper", f"S{n:03}-USD", "1") for n in range(500))
    book = halting(process=replace(BOOK, positions=many)).book
    assert book
    assert len(book.positions) == MOST_POSITIONS
    assert book.positions_left_out == 500 - MOST_POSITIONS
    assert len(book.model_dump_json()) < 8192


def test_it_stays_as_it_was_recorded() -> None:
    found = halting(ASKED)
    observed = baked(found, Runner(born=NOW - 4000, errors=lambda _: 0.5), **ASKED)
    after = written(decide(observed))
    assert after.phase is PHASE.ROLLING_BACK
    assert after.baseline == found


def test_a_release_worse_than_the_one_before_it_goes_back() -> None:
    target = Runner(born=NOW - 4000, rate=8.0, errors=lambda _: 0.018)
    found = halting(
        ASKED, RecordedWorld(Runner(born=NOW - 4000, rate=8.0)).recording(NOW - 900, NOW)
    )
    after = written(decide(baked(found, target, **ASKED)))
    assert after.phase is PHASE.ROLLING_BACK
    assert after.verdict
    assert after.verdict.guardrail == "errorRate"
    assert found.service
    assert after.verdict.limit == found.service.error_rate_limit
    assert (after.verdict.limit or 1) < 0.02
    # Without a baseline to compare with, the same release is good enough.
    plain = halting(
        None, RecordedWorld(Runner(born=NOW - 4000, rate=8.0)).recording(NOW - 900, NOW)
    )
    assert written(decide(baked(plain, target))).phase is PHASE.SUCCEEDED


def test_the_rollback_has_to_keep_the_same_absolute_limits_only() -> None:
    """A venue that has become worse for everyone must not halt the release of before."""
    found = halting(
        ASKED, RecordedWorld(Runner(born=NOW - 4000, rate=8.0)).recording(NOW - 900, NOW)
    )
    moved = cutover(status(PHASE.VERIFYING, 300, baseline=found), **ASKED)
    assert bake_limits(moved, runner()).error_rate < verify_limits(moved, runner()).error_rate
    worse = Runner(born=NOW - 4000, rate=8.0, errors=lambda _: 0.018)
    recording = RecordedWorld(worse).recording(NOW - 600, NOW)
    after = written(decide(seen(moved, pod=pod(SOURCE), recording=recording)))
    assert after.phase is PHASE.ROLLED_BACK
    assert "more than before the cutover: check the venue, too" in after.message
    good = RecordedWorld(Runner(born=NOW - 4000)).recording(NOW - 600, NOW)
    after = written(decide(seen(moved, pod=pod(SOURCE), recording=good)))
    assert after.phase is PHASE.ROLLED_BACK
    assert "venue" not in after.message


BACKUP = BackupRecord(id=UID, sha256="a" * 64, files=3)


@pytest.mark.parametrize(
    ("restored", "says"),
    [
        ('{"result": "restored", "id": "UID", "sha256": "A64"}', ""),
        ('{"result": "restored", "id": "UID", "sha256": "A64", "later": 1}', ""),
        ('{"result": "restored", "id": "UID", "sha256": "b"}', "has sha256 b, it was aaa"),
        ('{"result": "restored", "id": "UID"}', "has no sha256"),
        ('{"result": "restored", "id": "UID", "sha256": ""}', "has no sha256"),
        ('{"result": "restored", "id": "UID", "sha256": 1}', "has no sha256"),
        ('{"result": "restored", "id": "other", "sha256": "A64"}', "backup other was restored"),
        ('{"result": "restored", "sha256": "A64"}', "isn't a known one"),
        ('{"result": "missing", "id": "UID"}', "is no longer on the state volume"),
        ('{"result": "kept", "id": "UID"}', "was kept, not"),
        ('{"result": "frozen", "id": "UID"}', "was frozen, not"),
        ('{"result": "nothing", "id": "UID"}', "didn't report that backup"),
        ('{"result": "error", "id": "UID"}', "isn't a known one"),
        ('{"result": "merged", "id": "UID"}', "isn't a known one"),
        ('{"result": ["restored"], "id": "UID", "sha256": "A64"}', "isn't a known one"),
        ("null", "didn't report that backup"),
        # Protocol 0, see tests/contract/v0, and what looks like it.
        ('{"id": "UID", "sha256": "A64", "files": 3, "bytes": 9}', ""),
        ('{"id": "UID", "skipped": "restored already", "sha256": "A64"}', ""),
        ('{"id": "UID", "sha256": "b", "files": 3, "bytes": 9}', "has sha256 b, it was aaa"),
        ('{"id": "other", "sha256": "A64", "files": 3, "bytes": 9}', "backup other was restored"),
        (
            '{"id": "UID", "skipped": "no such backup: the new release never started"}',
            "is no longer on the state volume",
        ),
        ('{"id": "UID", "skipped": "no such backup"}', "isn't a known one"),
        ('{"id": "UID", "skipped": "the current state is kept"}', "was kept, not"),
        ('{"id": "UID", "skipped": "backup not found"}', "isn't a known one"),
        ('{"id": "UID", "skipped": "restored already"}', "isn't a known one"),
        ('{"id": "UID", "sha256": "A64", "files": 3}', "isn't a known one"),
        ('{"id": "UID", "sha256": "A64", "files": "3", "bytes": 9}', "isn't a known one"),
        ('{"id": "UID", "frozen": false}', "isn't a known one"),
        ('{"id": "UID"}', "isn't a known one"),
        (
            '{"id": "UID", "sha256": "A64", "files": 3, "bytes": 9, "skipped": "some of it"}',
            "isn't a known one",
        ),
        ('{"id": "UID", "frozen": true, "later": 1}', "isn't a known one"),
        ('"restored"', "isn't a known one"),
    ],
)
def test_the_restored_state_is_the_one_that_was_backed_up(restored: str, says: str) -> None:
    text = restored.replace("UID", UID).replace("A64", "a" * 64)
    message = f'{{"ok": true, "restore": {text}}}'
    found = status(PHASE.ROLLING_BACK, backup=BACKUP, rollback=rollback(RollbackStep.STARTING))
    step = decide(seen(cutover(found), pod=pod(SOURCE, init_message=message)))
    after = written(step)
    assert after.phase is (PHASE.HALTED if says else PHASE.VERIFYING)
    assert says in after.message


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("", "reported nothing"),
        ("  ", "reported nothing"),
        ("hello", "no JSON object: hello"),
        ("[1]", "no JSON object"),
        ('{"restore": {"result": "restored", "id": "UID", "sha256": "a"}}', "relied on"),
        ('{"ok": false, "restore": {"result": "restored", "id": "UID", "sha256": "a"}}', "relied"),
        ('{"ok": false, "error": "the disk is full"}', "the disk is full"),
        ('{"ok": "true", "restore": {"result": "restored", "id": "UID", "sha256": "a"}}', "relied"),
        ('{"ok": true, "backup": 1, "restore": {"result": "kept", "id": "UID"}}', "no usable"),
    ],
)
@pytest.mark.parametrize("state", ["Restore", "Keep", "Freeze"])
@pytest.mark.parametrize("backup", [BACKUP, None])
def test_a_state_container_that_says_nothing_has_restored_nothing(
    message: str, says: str, state: str, backup: BackupRecord | None
) -> None:
    found = status(PHASE.ROLLING_BACK, backup=backup, rollback=rollback(RollbackStep.STARTING))
    move = cutover(found, rollback={"state": state})
    after = written(decide(seen(move, pod=pod(SOURCE, init_message=message.replace("UID", UID)))))
    assert after.phase is PHASE.HALTED
    assert "NotRestored" in after.message
    assert says in after.message


@pytest.mark.parametrize(
    ("state", "restore", "phase"),
    [
        ("Keep", {"result": "kept", "id": UID}, PHASE.VERIFYING),
        ("Keep", {"id": UID, "skipped": "the current state is kept"}, PHASE.VERIFYING),
        ("Keep", {"result": "restored", "id": UID, "sha256": "a" * 64}, PHASE.HALTED),
        ("Freeze", {"result": "frozen", "id": UID}, PHASE.HALTED),
        ("Freeze", {"id": UID, "frozen": True}, PHASE.HALTED),
        ("Freeze", {"id": UID, "skipped": "frozen already"}, PHASE.HALTED),
        ("Freeze", {"result": "kept", "id": UID}, PHASE.HALTED),
    ],
)
def test_what_was_done_with_the_state_is_what_was_asked_for(
    state: str, restore: dict[str, Any], phase: CutoverPhase
) -> None:
    found = status(PHASE.ROLLING_BACK, backup=BACKUP, rollback=rollback(RollbackStep.STARTING))
    message = json.dumps({"ok": True, "restore": restore})
    move = cutover(found, rollback={"state": state})
    assert written(decide(seen(move, pod=pod(SOURCE, init_message=message)))).phase is phase


@pytest.mark.parametrize("restore", [None, {"result": "missing", "id": UID}])
def test_without_a_backup_there_is_nothing_to_restore(restore: object) -> None:
    found = status(PHASE.ROLLING_BACK, rollback=rollback(RollbackStep.STARTING))
    message = json.dumps({"ok": True, "restore": restore})
    after = written(decide(seen(cutover(found), pod=pod(SOURCE, init_message=message))))
    assert after.phase is PHASE.VERIFYING
