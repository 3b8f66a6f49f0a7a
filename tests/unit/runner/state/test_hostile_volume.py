"""A bad release wrote on the state volume before it was rolled back; then the restore runs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tradepulse_runner.cli.main import main
from tradepulse_runner.errors import ObjectStoreError, RestoreRefused, StateError
from tradepulse_runner.files.schema import EPOCH, KILL_SWITCH, ORDER_BOOK
from tradepulse_runner.files.snapshot import SnapshotFile, encode, read_snapshot, write_durable
from tradepulse_runner.killswitch import KillSwitch
from tradepulse_runner.state.backup import Expected, is_state_file
from tradepulse_runner.state.directory import Mode, Preparation, prepare, restore
from tradepulse_runner.state.incidents import Incident
from tradepulse_runner.store.bundles import _wanted, bundle, names

UID = "6b0f6f3c"
NONCE = "0f" * 16
GOOD, BAD = {"owner": "the old release"}, {"owner": "the bad release"}


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _fd: None)


def clock() -> float:
    return 7.0


@pytest.fixture
def sha256(tmp_path: Path) -> str:
    """The volume as the bad release leaves it; checksum of the backup that was made before."""
    SnapshotFile(tmp_path / "paper_oms.json", ORDER_BOOK).save(GOOD)
    SnapshotFile(tmp_path / "epoch.json", EPOCH).save({"epoch": 41})
    made = prepare(tmp_path, Preparation(backup=UID), clock=clock)["backup"]
    SnapshotFile(tmp_path / "paper_oms.json", ORDER_BOOK).save(BAD)
    KillSwitch(tmp_path, clock=clock).engage("operator: spec", by="ada")
    return str(made["sha256"])


def back(state: Path, sha256: str = "", nonce: str = NONCE, **more: Any) -> dict[str, Any]:
    wanted = Preparation(restore=UID, expected=Expected(sha256, nonce), **more)
    return prepare(state, wanted, clock=clock)


def unharmed(state: Path) -> None:
    """The old state is back; latch and epoch are as they were."""
    assert read_snapshot(state / "paper_oms.json", ORDER_BOOK).payload == GOOD
    assert read_snapshot(state / "epoch.json", EPOCH).payload == {"epoch": 41}
    switch = KillSwitch(state, clock=clock)
    assert (switch.engaged, switch.reset_by, switch.damaged) == (True, "", False)


def test_a_forged_mark_restores_nothing_away(tmp_path: Path, sha256: str) -> None:
    mark = {"at": 1, "sha256": sha256}
    for nonce in (None, "", "guessed"):
        forged = mark if nonce is None else {**mark, "nonce": nonce}
        (tmp_path / "backups" / UID / "restored.json").write_text(json.dumps(forged))
        SnapshotFile(tmp_path / "paper_oms.json", ORDER_BOOK).save(BAD)
        found = back(tmp_path, sha256)["restore"]
        assert (found["nonce"], found["sha256"], found["unchanged"]) == (NONCE, sha256, True)
        unharmed(tmp_path)


def test_what_the_old_release_traded_since_is_not_turned_back_again(
    tmp_path: Path, sha256: str
) -> None:
    back(tmp_path, sha256)
    traded = {"owner": "the old release, a day later"}
    SnapshotFile(tmp_path / "paper_oms.json", ORDER_BOOK).save(traded)
    found = back(tmp_path, sha256)["restore"]
    assert (found["skipped"], found["unchanged"]) == ("restored already", False)
    assert read_snapshot(tmp_path / "paper_oms.json", ORDER_BOOK).payload == traded


def test_another_backup_stops_before_anything_changed(tmp_path: Path, sha256: str) -> None:
    with pytest.raises(RestoreRefused, match="it was 0000"):
        back(tmp_path, "0" * 64)
    (tmp_path / "backups" / UID).rename(tmp_path / "backups" / "elsewhere")
    with pytest.raises(RestoreRefused, match="no such backup"):
        back(tmp_path, sha256)
    assert read_snapshot(tmp_path / "paper_oms.json", ORDER_BOOK).payload == BAD


def test_the_state_container_hands_the_facts_on_and_says_that_it_refused(
    tmp_path: Path, sha256: str
) -> None:
    environment = {"TRADEPULSE_RESTORE_SHA256": "0" * 64, "TRADEPULSE_RESTORE_NONCE": NONCE}
    args = ["state", "prepare", "--state-dir", str(tmp_path), "--restore", UID]
    run = CliRunner().invoke(main, args, env=environment)
    said = json.loads(run.stdout)
    assert (run.exit_code, said["ok"], said["refused"]) == (1, False, True)
    assert len(run.stdout.encode()) < 4096
    run = CliRunner().invoke(main, args, env={**environment, "TRADEPULSE_RESTORE_SHA256": sha256})
    assert json.loads(run.stdout)["restore"]["nonce"] == NONCE


def test_a_forged_mark_of_the_freeze_engages_all_the_same(tmp_path: Path) -> None:
    mark = tmp_path / "incidents" / UID / "frozen.json"
    mark.parent.mkdir(parents=True)
    mark.write_text('{"at": 1}')
    back(tmp_path, mode=Mode.FREEZE)
    assert KillSwitch(tmp_path, clock=clock).engaged
    KillSwitch(tmp_path, clock=clock).reset(by="ada", reason="looked at")
    back(tmp_path, mode=Mode.FREEZE)  # a pod that starts again
    assert not KillSwitch(tmp_path, clock=clock).engaged


def test_a_copy_that_was_there_before_does_not_stand_for_the_state_that_is_replaced(
    tmp_path: Path, sha256: str
) -> None:
    (tmp_path / "backups" / f"{UID}-replaced").mkdir()
    back(tmp_path, sha256)
    kept = tmp_path / "backups" / f"{UID}-replaced" / "paper_oms.json"
    assert read_snapshot(kept, ORDER_BOOK).payload == BAD


@pytest.mark.parametrize(
    "name",
    [
        "kill_switch.json",
        "epoch.json",
        "kill_switch.json_oms.json",
        "restoring.json",
        "audit.jsonl",
        "../paper_oms.json",
        "../../paper_oms.json",
        "s/paper_oms.json",
        "/tmp/paper_oms.json",
        ".paper_oms.json",
        "paper_oms.json\n",
        "x" * 300 + "_oms.json",
        "incidents/x_oms.json",
        "",
    ],
)
def test_a_manifest_names_state_files_only(tmp_path: Path, sha256: str, name: str) -> None:
    assert not is_state_file(name)
    folder = tmp_path / "backups" / UID
    data, _ = encode({"engaged": False, "reason": "", "by": "mallory", "at": 1.0}, 7, KILL_SWITCH)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    manifest["files"] = {**manifest["files"], name: entry}
    text = json.dumps(manifest)
    (folder / "manifest.json").write_text(text)
    if name and "/" not in name and len(name) < 256:
        (folder / name).write_bytes(data)
    with pytest.raises(StateError, match="not a backup"):
        back(tmp_path)
    with pytest.raises(StateError, match="not a backup"):
        restore(tmp_path, UID, clock=clock)
    with pytest.raises(ObjectStoreError, match="not a manifest"):
        _wanted(text.encode(), "s3://bucket")
    assert KillSwitch(tmp_path, clock=clock).engaged


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", '{"files": []}', '{"files": {"a_oms.json": {"sha256": "", "bytes": 1e999}}}', "["],
)
def test_what_is_no_manifest_is_said_to_be_none(tmp_path: Path, sha256: str, text: str) -> None:
    (tmp_path / "backups" / UID / "manifest.json").write_text(text)
    with pytest.raises(StateError, match="not a backup"):
        back(tmp_path)
    with pytest.raises(ObjectStoreError, match="not a manifest"):
        _wanted(text.encode(), "s3://bucket")


def link(path: Path, target: Path | str) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name(path.name + ".moved"))
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


LINKS: dict[str, Callable[[Path], None]] = {
    "report onto the book": lambda d: link(
        d / "incidents" / UID / "report.md", d / "paper_oms.json"
    ),
    "report onto the epoch": lambda d: link(d / "incidents" / UID / "report.md", d / "epoch.json"),
    "report onto the latch": lambda d: link(
        d / "incidents" / UID / "report.md", d / "kill_switch.json"
    ),
    "temporary report": lambda d: link(d / "incidents" / UID / ".report.md.tmp", d / "epoch.json"),
    "the incident": lambda d: link(d / "incidents" / UID, ".."),
    "all incidents": lambda d: link(d / "incidents", "backups"),
    "the book": lambda d: link(d / "paper_oms.json", "kill_switch.json"),
    "another book": lambda d: link(d / "other_oms.json", "epoch.json"),
    "the temporary book": lambda d: link(d / ".paper_oms.json.tmp", "epoch.json"),
    "the temporary copy": lambda d: link(d / "backups" / f".{UID}-replaced.tmp", ".."),
    "the replaced copy": lambda d: link(d / "backups" / f"{UID}-replaced", "/"),
    "the mark": lambda d: link(d / "restoring.json", "epoch.json"),
    "the done mark": lambda d: link(d / "backups" / UID / "restored.json", "../../epoch.json"),
    "the lock": lambda d: link(d / ".lock", "epoch.json"),
}


@pytest.mark.parametrize("planted", LINKS.values(), ids=LINKS.keys())
def test_no_link_leads_a_restore_or_a_report_elsewhere(
    tmp_path: Path, sha256: str, planted: Callable[[Path], None]
) -> None:
    report = tmp_path / "mounted"
    report.mkdir()
    for name in ("report.md", "epoch.json", "kill_switch.json", "paper_oms.json"):
        (report / name).write_text("# Incident")
    planted(tmp_path)
    back(tmp_path, sha256, incident_dir=report)
    unharmed(tmp_path)
    assert not (tmp_path / "other_oms.json").is_symlink()
    folder = tmp_path / "incidents" / UID
    assert not folder.is_symlink()
    assert (folder / "report.md").read_text() == "# Incident"
    # The running process copies the report that grows, too.
    planted(tmp_path)
    if (tmp_path / "paper_oms.json").is_symlink():
        return
    (report / "report.md").write_text("# Incident, ended")
    Incident(report, folder).copy()
    assert (tmp_path / "incidents" / UID / "report.md").read_text() == "# Incident, ended"
    unharmed(tmp_path)


@pytest.mark.parametrize("place", ["backups", f"backups/{UID}"])
def test_a_backup_behind_a_link_is_none(tmp_path: Path, sha256: str, place: str) -> None:
    outside = tmp_path.with_name(f"{tmp_path.name}-outside")
    (tmp_path / place).rename(outside)
    (tmp_path / place).symlink_to(outside)
    before = sorted(outside.rglob("*"))
    with pytest.raises(StateError):
        back(tmp_path, sha256)
    with pytest.raises(StateError):
        restore(tmp_path, UID, clock=clock)
    assert sorted(outside.rglob("*")) == before


def test_a_pipe_is_read_by_nobody(tmp_path: Path, sha256: str) -> None:
    os.mkfifo(tmp_path / "pipe_oms.json")
    os.mkfifo(tmp_path / "epoch2_journal.1")
    back(tmp_path, sha256)
    unharmed(tmp_path)


def test_links_are_not_sent_to_the_object_store(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("key")
    folder = tmp_path / "incidents" / UID
    folder.mkdir(parents=True)
    (folder / "report.md").write_text("# Incident")
    (folder / "leak.md").symlink_to(secret)
    (tmp_path / "incidents" / "linked").symlink_to(tmp_path)
    assert names(tmp_path) == [f"incidents/{UID}"]
    assert set(bundle(tmp_path, f"incidents/{UID}").files) == {"report.md"}


def test_a_durable_write_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".a.tmp").symlink_to("precious")
    (tmp_path / "a").symlink_to("precious")
    write_durable(tmp_path / "a", b"new")
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "a").is_symlink()
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
