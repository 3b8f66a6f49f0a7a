"""The copy of an incident report follows the one that is mounted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tradepulse_runner.files.snapshot import write_durable
from tradepulse_runner.state import incidents
from tradepulse_runner.state.incidents import ENV_DIR, ENV_ID, mounted


def mount(folder: Path, stage: str, **files: str) -> None:
    """As the kubelet does: files are links into a folder that is swapped as a whole."""
    data = folder / f"..{stage}"
    data.mkdir(parents=True)
    for name, text in files.items():
        (data / f"{name}.md").write_text(text)
        link = folder / f"{name}.md"
        link.unlink(missing_ok=True)
        link.symlink_to(data / f"{name}.md")


def test_what_grows_is_copied_and_what_stays_is_not(tmp_path: Path) -> None:
    source, state = tmp_path / "mounted", tmp_path / "state"
    mount(source, "1", report="what happened")
    found = mounted(state, {ENV_DIR: str(source), ENV_ID: "uid-1"})
    assert found
    assert found.copy() == 1
    assert found.copy() == 0
    kept = state / "incidents" / "uid-1"
    before = (kept / "report.md").stat().st_ino
    mount(source, "2", report="what happened", outcome="it is over")
    assert found.copy() == 1
    assert (kept / "report.md").stat().st_ino == before
    assert sorted(path.name for path in kept.iterdir()) == ["outcome.md", "report.md"]
    assert (kept / "outcome.md").read_text() == "it is over"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {ENV_DIR: "/x"},
        {ENV_ID: "a"},
        {ENV_DIR: "/x", ENV_ID: "../a"},
        {ENV_DIR: "", ENV_ID: "a"},
    ],
)
def test_without_a_report_nothing_runs(tmp_path: Path, environ: dict[str, str]) -> None:
    assert mounted(tmp_path, environ) is None


def test_a_report_that_was_never_filed_is_no_fault(tmp_path: Path) -> None:
    found = mounted(tmp_path, {ENV_DIR: str(tmp_path / "none"), ENV_ID: "uid-1"})
    assert found
    assert found.copy() == 0


async def test_a_full_disk_is_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "mounted"
    mount(source, "1", report="what happened")
    found = mounted(tmp_path / "state", {ENV_DIR: str(source), ENV_ID: "uid-1"})
    assert found
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    refused: list[Path] = []

    def once_full(path: Path, data: bytes) -> None:
        if not refused:
            refused.append(path)
            raise OSError(28, "No space left on device")
        write_durable(path, data)
        loop.call_soon_threadsafe(done.set)

    monkeypatch.setattr(incidents, "INTERVAL", 0.01)
    monkeypatch.setattr(incidents, "write_durable", once_full)
    found.start()
    await asyncio.wait_for(done.wait(), 5)
    await found.stop()
    kept = tmp_path / "state" / "incidents" / "uid-1" / "report.md"
    assert refused == [kept]
    assert kept.read_text() == "what happened"
