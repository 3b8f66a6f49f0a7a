"""The state container's termination message, as a typed result.

Two forms are understood. A release that names its `result` says one of `Result`. One of protocol 0
doesn't: its answers are enumerated here, verbatim, and never grow (tests/contract/v0). Anything
else is an error: an image that reports nothing, or something unknown, has done nothing that could
be relied on.
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
    """The answer of the state container. `id`: of the backup to restore; `sha256`: of its manifest.
    `problem`: the text of an error, for `Result.ERROR`."""

    result: Result
    id: str = ""
    sha256: str = ""
    backup: BackupRecord | None = None
    problem: str = ""
    #: The rollback that a restore was made for; None where that isn't reported.
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
    reported = answered(message)
    if reported is None:
        return _error(f"its answer is no JSON object: {message.strip()}" if message.strip() else "")
    if reported.get("ok") is not True:
        problem = str(reported.get("error") or message.strip())[:_LONGEST_PROBLEM]
        return Statement(Result.ERROR, problem=problem, refused=reported.get("refused") is True)
    backup = reported.get("backup")
    if backup is not None and _backup(backup) is None:
        return _error(f"its answer names no usable backup: {message.strip()}")
    return _restore(reported.get("restore"), _backup(backup))


def _backup(reported: object) -> BackupRecord | None:
    """A backup that can be recognised when it is restored; None for anything less."""
    known = {"id": str, "files": int, "bytes": int, "sha256": str}
    if not isinstance(reported, dict) or not _typed(reported, known) or not reported["sha256"]:
        return None
    return BackupRecord(**{key: reported[key] for key in known})


def _restore(reported: object, backup: BackupRecord | None) -> Statement:
    if reported is None:
        return Statement(Result.NOTHING, backup=backup)
    result = (
        _result(reported) if isinstance(reported, dict) and _typed(reported, {"id": str}) else None
    )
    if result is None or not isinstance(reported, dict):
        return _error(f"its answer about the restore isn't a known one: {json.dumps(reported)}")
    sha256 = reported.get("sha256") if result is Result.RESTORED else ""
    if not isinstance(sha256, str) or (result is Result.RESTORED and not sha256):
        return _error(
            f"backup {reported['id']} was restored, but can't be identified: it has no sha256"
        )
    nonce = reported.get("nonce")
    if nonce is not None and not isinstance(nonce, str):
        return _error(f"its answer about the restore isn't a known one: {json.dumps(reported)}")
    return Statement(result, reported["id"], sha256, backup, nonce=nonce)


def _result(reported: Mapping[str, Any]) -> Result | None:
    if "result" in reported:
        results = {each.value: each for each in Result if each is not Result.ERROR}
        name = reported["result"]
        return results.get(name) if isinstance(name, str) else None
    return _protocol_0(reported)


def _protocol_0(reported: Mapping[str, Any]) -> Result | None:
    """The known shapes, exactly; None for any other."""
    if _typed(reported, {"id": str, "files": int, "bytes": int, "sha256": str}, only=True):
        return Result.RESTORED
    if _typed(reported, {"id": str, "skipped": str, "sha256": str}, only=True):
        return Result.RESTORED if reported["skipped"] == "restored already" else None
    if _typed(reported, {"id": str, "skipped": str}, only=True):
        return _SENTENCES.get(reported["skipped"])
    if _typed(reported, {"id": str, "frozen": bool}, only=True):
        return Result.FROZEN if reported["frozen"] else None
    return None


def _typed(reported: Mapping[str, Any], wanted: Mapping[str, type], *, only: bool = False) -> bool:
    """Whether each of `wanted` is there and of exactly that type; `only`: and nothing else."""
    if only and reported.keys() != wanted.keys():
        return False
    return all(type(reported.get(key)) is kind for key, kind in wanted.items())


def _error(problem: str) -> Statement:
    return Statement(Result.ERROR, problem=problem[:_LONGEST_PROBLEM] or "it reported nothing")
