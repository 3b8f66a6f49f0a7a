"""What a recording of Argo CD's statuses counts as drift: the judge of the test on the cluster."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.gitops.application import Recording, Said, said


def recorded(*words: str) -> Recording:
    """Of `revision sync operation heals health`, one a state; operation `-` is none."""
    recording = Recording()
    for state in words:
        revision, sync, operation, heals, health = state.split()
        recording.note(Said(revision, sync, health, operation.strip("-"), int(heals)))
    return recording


COMMIT = (
    "a Synced 1 0 Healthy",
    "b OutOfSync 1 0 Missing",
    "b OutOfSync - 0 Missing",
    "b Synced 2 0 Progressing",
)


def test_a_commit_is_no_drift() -> None:
    found = recorded(*COMMIT, "b Synced 2 0 Healthy")
    assert (found.drifted, found.syncs, found.heals) == ([], 1, 0)
    assert found.healths == ["Healthy", "Progressing", "Healthy"]


@pytest.mark.parametrize("sync", ["OutOfSync", "Unknown"])
def test_a_difference_after_the_commit_was_applied_is(sync: str) -> None:
    found = recorded(*COMMIT, f"b {sync} 2 0 Progressing", "b Synced 2 0 Healthy")
    assert [state.sync for state in found.drifted] == [sync]


def test_a_heal_is_counted() -> None:
    found = recorded(*COMMIT, "b OutOfSync 2 0 Healthy", "b Synced 3 1 Healthy")
    assert (len(found.drifted), found.syncs, found.heals) == (1, 2, 1)


def test_the_sync_of_before_is_not() -> None:
    found = recorded("a Synced 1 2 Healthy", "a Synced 1 2 Progressing")
    assert (found.syncs, found.heals) == (0, 0)


def test_a_repeated_state_is_one() -> None:
    assert len(recorded(COMMIT[0], COMMIT[0], COMMIT[1]).states) == 2


@pytest.mark.parametrize("status", [{}, {"operationState": {"operation": {}}}])
def test_what_argo_cd_has_not_written_yet_is_empty(status: dict[str, Any]) -> None:
    assert said({"status": status}) == Said("", "", "", "", 0)
