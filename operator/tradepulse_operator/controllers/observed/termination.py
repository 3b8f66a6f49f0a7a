"""The state container's last word, its termination message, as a typed result.

Two forms are understood. A release that names its `result` says one of `Result`. One of protocol 0
doesn't: its answers are enumerated here, word by word, and never grow (tests/contract/v0). Anything
else is an error: an image that says nothing, or something unknown, has done nothing that could be
relied on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tradepulse_operator.api.cutover_status import BackupRecord
from tradepulse_operator.api.untrusted import Unreadable, mapping, parse

#: Characters; the kubelet keeps 4 KiB.
_LONGEST = 4096


class Result(StrEnum):
    """What the state container did about a restore."""

    #: The state is that of the backup.
    RESTORED = "restored"
    #: No restore was asked of it.
    NOTHING = "nothing"
    #: The state is left as the newer release left it, as it was asked to.
    KEPT = "kept"
    #: The kill switch is latched and the state left for a person.
    FROZEN = "frozen"
    #: The state volume has no such backup.
    MISSING = "missing"
    #: It failed, or its answer isn't one of the known ones.
    ERROR = "error"


@dataclass(frozen=True)
class Statement:
    """What the state container said. `id`, `sha256`: of the backup that a restore was asked of and
    of its manifest. `problem`: in words, for `Result.ERROR`."""

    result: Result
    id: str = ""
    sha256: str = ""
    backup: BackupRecord | None = None
    problem: str = ""
    #: The rollback that a restore was made for; None where that isn't said.
    nonce: str | None = None
    #: Whether it refused a restore for good: the backup isn't the one that was expected.
    refused: bool = False


#: Protocol 0 reports a restore that it didn't make in a sentence.
_SENTENCES = {
    "no such backup: the new release never started": Result.MISSING,
    "the current state is kept": Result.KEPT,
    "frozen already": Result.FROZEN,
}
#: Characters of a problem.
_LONGEST_PROBLEM = 512


def answered(message: str) -> Mapping[str, Any] | None:
    """The object that a termination message is; None where it is something else."""
    try:
        return mapping(parse(message, _LONGEST))
    except Unreadable:
        return None


def statement(message: str) -> Statement:
    """The termination message `message` of a state container that ended with 0 or not."""
    said = answered(message)
    if said is None:
        return _error(f"its answer is no JSON object: {message.strip()}" if message.strip() else "")
    if said.get("ok") is not True:
        problem = str(said.get("error") or message.strip())[:_LONGEST_PROBLEM]
        return Statement(Result.ERROR, problem=problem, refused=said.get("refused") is True)
    backup = said.get("backup")
    if backup is not None and _backup(backup) is None:
        return _error(f"its answer names no usable backup: {message.strip()}")
    return _restore(said.get("restore"), _backup(backup))


def _backup(reported: object) -> BackupRecord | None:
    """A backup that can be recognised when it is restored; None for anything less."""
    known = {"id": str, "files": int, "bytes": int, "sha256": str}
    if not isinstance(reported, dict) or not _typed(reported, known) or not reported["sha256"]:
        return None
    return BackupRecord(**{key: reported[key] for key in known})


def _restore(said: object, backup: BackupRecord | None) -> Statement:
    if said is None:
        return Statement(Result.NOTHING, backup=backup)
    result = _result(said) if isinstance(said, dict) and _typed(said, {"id": str}) else None
    if result is None or not isinstance(said, dict):
        return _error(f"its answer about the restore isn't a known one: {json.dumps(said)}")
    sha256 = said.get("sha256") if result is Result.RESTORED else ""
    if not isinstance(sha256, str) or (result is Result.RESTORED and not sha256):
        return _error(f"backup {said['id']} was restored, but not said which: it has no sha256")
    nonce = said.get("nonce")
    if nonce is not None and not isinstance(nonce, str):
        return _error(f"its answer about the restore isn't a known one: {json.dumps(said)}")
    return Statement(result, said["id"], sha256, backup, nonce=nonce)


def _result(said: Mapping[str, Any]) -> Result | None:
    if "result" in said:
        words = {each.value: each for each in Result if each is not Result.ERROR}
        word = said["result"]
        return words.get(word) if isinstance(word, str) else None
    return _protocol_0(said)


def _protocol_0(said: Mapping[str, Any]) -> Result | None:
    """The known shapes, exactly; None for any other."""
    if _typed(said, {"id": str, "files": int, "bytes": int, "sha256": str}, only=True):
        return Result.RESTORED
    if _typed(said, {"id": str, "skipped": str, "sha256": str}, only=True):
        return Result.RESTORED if said["skipped"] == "restored already" else None
    if _typed(said, {"id": str, "skipped": str}, only=True):
        return _SENTENCES.get(said["skipped"])
    if _typed(said, {"id": str, "frozen": bool}, only=True):
        return Result.FROZEN if said["frozen"] else None
    return None


def _typed(said: Mapping[str, Any], wanted: Mapping[str, type], *, only: bool = False) -> bool:
    """Whether each of `wanted` is there and of exactly that type; `only`: and nothing else."""
    if only and said.keys() != wanted.keys():
        return False
    return all(type(said.get(key)) is kind for key, kind in wanted.items())


def _error(problem: str) -> Statement:
    return Statement(Result.ERROR, problem=problem[:_LONGEST_PROBLEM] or "it said nothing")
