"""The kill switch's latch and the control files."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from tests.support.runner.runner_fixtures import Crash, crash_at
from tradepulse_runner.errors import DurabilityLost, StateError
from tradepulse_runner.files.schema import KILL_SWITCH
from tradepulse_runner.files.snapshot import SnapshotFile
from tradepulse_runner.killswitch import (
    ENGAGE_PATIENCE,
    FILE,
    KEEP_HISTORY,
    LOCK,
    RESET_PATIENCE,
    KillSwitch,
    LatchWatch,
)
from tradepulse_runner.live.control import Directive, read_control


def latch(path: Path) -> KillSwitch:
    return KillSwitch(path, clock=lambda: 1.0)


def test_latch_survives_restarts_and_keeps_the_first_reason(tmp_path: Path) -> None:
    assert not latch(tmp_path).engaged
    assert latch(tmp_path).engage("first")
    assert not latch(tmp_path).engage("second")
    found = latch(tmp_path)
    assert (found.engaged, found.reason) == (True, "first")


@pytest.mark.parametrize("name", ["", "  "])
def test_only_a_named_person_resets(tmp_path: Path, name: str) -> None:
    latch(tmp_path).engage("x")
    with pytest.raises(ValueError, match="named person"):
        latch(tmp_path).reset(by=name, reason="looked")
    assert latch(tmp_path).engaged
    latch(tmp_path).reset(by="Ada", reason="looked")
    assert (latch(tmp_path).engaged, latch(tmp_path).reset_by) == (False, "Ada")


@pytest.mark.parametrize("bad", [b"", b"\0\0", b"{}"])
def test_a_latch_that_cannot_be_read_is_engaged(tmp_path: Path, bad: bytes) -> None:
    latch(tmp_path).engage("x")
    latch(tmp_path).reset(by="Ada", reason="looked")
    latch(tmp_path).engage("y")  # the generation before says "reset": it must not be believed
    (tmp_path / FILE).write_bytes(bad)
    assert latch(tmp_path).engaged


@pytest.mark.parametrize("step", range(1, 7))
def test_a_crash_while_engaging_never_leaves_an_older_reset_in_force_by_mistake(
    tmp_path: Path, step: int
) -> None:
    """Before the old file is moved, it still stands; from then on the latch is engaged."""
    latch(tmp_path).engage("x")
    latch(tmp_path).reset(by="Ada", reason="looked")
    crashing = latch(tmp_path)
    crashing._file = SnapshotFile(tmp_path / FILE, KILL_SWITCH, step=crash_at(step))
    crashing._file.load()
    with pytest.raises(Crash):
        crashing.engage("y")
    assert latch(tmp_path).engaged == (step > 4)


def test_a_reset_says_why(tmp_path: Path) -> None:
    latch(tmp_path).engage("x")
    with pytest.raises(ValueError, match="--reason"):
        latch(tmp_path).reset(by="Ada", reason=" ")
    assert latch(tmp_path).engaged


def test_the_record_says_who_did_what_and_why(tmp_path: Path) -> None:
    latch(tmp_path).engage("runaway", by="Bob")
    latch(tmp_path).reset(by="Ada", reason="fixed")
    latch(tmp_path).engage("again")
    events = [(e["event"], e["by"], e["reason"], e["at"]) for e in latch(tmp_path).history]
    assert events == [
        ("engaged", "Bob", "runaway", 1.0),
        ("reset", "Ada", "fixed", 1.0),
        ("engaged", "", "again", 1.0),
    ]


def test_the_record_does_not_grow_for_ever(tmp_path: Path) -> None:
    for number in range(KEEP_HISTORY):
        latch(tmp_path).engage(f"reason {number}")
        latch(tmp_path).reset(by="Ada", reason="fixed")
    history = latch(tmp_path).history
    assert len(history) == KEEP_HISTORY
    assert history[-2]["reason"] == f"reason {KEEP_HISTORY - 1}"


def test_a_record_of_an_earlier_release_is_understood(tmp_path: Path) -> None:
    old = {"engaged": True, "reason": "old", "by": "", "at": 1.0}
    SnapshotFile(tmp_path / FILE, KILL_SWITCH).save(old)
    assert (latch(tmp_path).engaged, latch(tmp_path).reason) == (True, "old")
    latch(tmp_path).reset(by="Ada", reason="fixed")
    assert [e["event"] for e in latch(tmp_path).history] == ["reset"]


def test_what_is_not_engaged_is_not_reset(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="nothing to reset"):
        latch(tmp_path).reset(by="Ada", reason="to be sure")
    assert not (tmp_path / FILE).exists()


def test_nobody_resets_what_they_have_not_seen(tmp_path: Path) -> None:
    """Between the look and the reset, the latch was reset by another and engaged anew."""
    latch(tmp_path).engage("first")
    ada = latch(tmp_path)
    latch(tmp_path).reset(by="Bob", reason="fixed")
    KillSwitch(tmp_path, clock=lambda: 2.0).engage("second")
    with pytest.raises(StateError, match="engaged anew meanwhile: second"):
        ada.reset(by="Ada", reason="fixed")
    assert latch(tmp_path).reason == "second"


class Waits:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.at = 0.0

    def monotonic(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


def test_engaging_does_not_wait_for_who_holds_the_lock_and_a_reset_does_not_go_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = Waits()
    monkeypatch.setattr("tradepulse_runner.killswitch.time", time)
    fd = os.open(tmp_path / LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        assert latch(tmp_path).engage("now")
        assert time.at <= ENGAGE_PATIENCE + 0.01
        with pytest.raises(StateError, match="another process"):
            latch(tmp_path).reset(by="Ada", reason="fixed")
        assert time.at >= RESET_PATIENCE
    finally:
        os.close(fd)
    assert latch(tmp_path).engaged
    latch(tmp_path).reset(by="Ada", reason="fixed")
    assert not latch(tmp_path).engaged


# -- what another process does to the latch -------------------------------------------------------


def test_the_watch_notices_an_engagement_and_a_named_reset(tmp_path: Path) -> None:
    known, watch = latch(tmp_path), LatchWatch(tmp_path, clock=lambda: 1.0)
    assert watch.changed(known) is None
    latch(tmp_path).engage("by hand")
    found = watch.changed(known)
    assert found is not None
    assert (found.engaged, found.reason) == (True, "by hand")
    assert watch.changed(found) is None
    latch(tmp_path).reset(by="Ada", reason="fixed")
    again = watch.changed(found)
    assert again is not None
    assert (again.engaged, again.reset_by) == (False, "Ada")
    assert watch.changed(again) is None


def test_the_watch_waits_out_a_file_that_is_being_replaced(tmp_path: Path) -> None:
    latch(tmp_path).engage("x")
    latch(tmp_path).reset(by="Ada", reason="fixed")
    known, watch = latch(tmp_path), LatchWatch(tmp_path, clock=lambda: 1.0)
    text = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).unlink()  # a writer is between its two renames
    assert watch.changed(known) is None
    (tmp_path / FILE).write_bytes(text)
    assert watch.changed(known) is None


def test_the_watch_takes_a_latch_that_stays_unreadable_for_engaged(tmp_path: Path) -> None:
    latch(tmp_path).engage("x")
    latch(tmp_path).reset(by="Ada", reason="fixed")
    known, watch = latch(tmp_path), LatchWatch(tmp_path, clock=lambda: 1.0)
    (tmp_path / FILE).write_bytes(b"{}")
    assert watch.changed(known) is None
    found = watch.changed(known)
    assert found is not None
    assert found.engaged


def test_a_latch_that_vanishes_opens_nothing(tmp_path: Path) -> None:
    latch(tmp_path).engage("x")
    known, watch = latch(tmp_path), LatchWatch(tmp_path, clock=lambda: 1.0)
    assert watch.changed(known) is None
    (tmp_path / FILE).unlink()
    assert [watch.changed(known) for _ in range(3)] == [None] * 3


def test_a_disk_that_refuses_still_engages_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    found = latch(tmp_path)
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(DurabilityLost):
        found.engage("x")
    assert found.engaged


CONTROL: list[tuple[str | None, Directive]] = [
    (None, Directive()),
    ("", Directive()),
    (" \n", Directive()),
    ("halt t1 cutover 7 begins", Directive(True, "t1", "cutover 7 begins")),
    ("halt t1", Directive(True, "t1", "")),
    ("halt", Directive(True, "", "control value not understood: 'halt'")),
    ("resume", Directive(True, "", "control value not understood: 'resume'")),
    ("reduce t1 loss is near", Directive(False, "t1", "loss is near", reduce=True)),
    ("reduce t1", Directive(False, "t1", "", reduce=True)),
    ("reduce", Directive(True, "", "control value not understood: 'reduce'")),
    ("reduced t1 x", Directive(True, "", "control value not understood: 'reduced t1 x'")),
]


@pytest.mark.parametrize(("text", "wanted"), CONTROL)
def test_control_file(tmp_path: Path, text: str | None, wanted: Directive) -> None:
    if text is not None:
        (tmp_path / "trading").write_text(text)
    assert read_control(tmp_path) == wanted


def test_kill_switch_file_is_read_with_or_without_a_halt(tmp_path: Path) -> None:
    (tmp_path / "kill-switch").write_text("price feed is wrong\n")
    assert read_control(tmp_path) == Directive(kill_switch="price feed is wrong")
    (tmp_path / "trading").write_text("halt t now")
    assert read_control(tmp_path) == Directive(True, "t", "now", "price feed is wrong")


def test_without_a_directory_there_are_no_orders() -> None:
    assert read_control(None) == Directive()


def test_unreadable_control_halts(tmp_path: Path) -> None:
    (tmp_path / "trading").mkdir()
    assert read_control(tmp_path).halt


def test_a_swapped_symlink_is_followed(tmp_path: Path) -> None:
    """As the kubelet does it: files link through ``..data``, which is replaced atomically."""
    for name, text in (("..1", ""), ("..2", "halt t x")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trading").write_text(text)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "trading").symlink_to("..data/trading")
    assert not read_control(tmp_path).halt
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert read_control(tmp_path).token == "t"
