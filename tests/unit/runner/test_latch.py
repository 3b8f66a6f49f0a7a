"""The kill switch's latch, the control files, and the one answer to "may we trade?"."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.unit.runner.kit import Crash, crash_at
from tradepulse_runner.control import Directive, read_control
from tradepulse_runner.errors import DurabilityLost
from tradepulse_runner.killswitch import FILE, KillSwitch
from tradepulse_runner.phase import Facts, Phase, decide
from tradepulse_runner.snapshot import SnapshotFile


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
    crashing._file = SnapshotFile(tmp_path / FILE, step=crash_at(step))
    crashing._file.load()
    with pytest.raises(Crash):
        crashing.engage("y")
    assert latch(tmp_path).engaged == (step > 4)


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


def test_orders_may_be_sent_only_when_nothing_at_all_speaks_against_it() -> None:
    """All 64 combinations: TRADING exactly once."""
    trading = []
    for bits in itertools.product((False, True), repeat=6):
        started, stopping, storage, reconciled, kill, halted = bits
        phase, why = decide(
            Facts(
                started=started,
                stopping=stopping,
                storage_failure="disk" if storage else "",
                reconciled=reconciled,
                kill_switch="kill" if kill else "",
                halted=halted,
                halt_reason="",
            )
        )
        assert bool(why) == (phase is not Phase.TRADING)
        if phase is Phase.TRADING:
            trading.append(bits)
    assert trading == [(True, False, False, True, False, False)]
