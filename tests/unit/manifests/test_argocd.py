"""Argo CD's view of both kinds, by running the Lua that Argo CD would run."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.manifests.rendering import ROOT
from tradepulse_operator.api.cutover_status import CutoverPhase
from tradepulse_operator.api.phases import End, People, facts

lupa = pytest.importorskip("lupa")

FOLDER = ROOT / "manifests" / "argocd"


def health(script: str, obj: dict[str, Any]) -> tuple[str, str]:
    """Status and message that the script returns for an object."""
    lua = lupa.LuaRuntime(unpack_returned_tuples=True)
    lua.globals().obj = lua.table_from(obj, recursive=True)
    found = lua.execute((FOLDER / script).read_text())
    return found["status"], found["message"]


def runner(*conditions: tuple[str, str], **changes: Any) -> dict[str, Any]:
    return {
        "metadata": {"generation": 3},
        "spec": {},
        "status": {
            "observedGeneration": 3,
            "activeRelease": {"image": "runner:1"},
            "conditions": [
                {"type": kind, "status": "True", "reason": reason, "message": f"m {reason}"}
                for kind, reason in conditions
            ],
        },
        **changes,
    }


TRADES = ("Ready", "Trading")


@pytest.mark.parametrize(
    ("obj", "status"),
    [
        (runner(TRADES), "Healthy"),
        (runner(("Reconciling", "Starting")), "Progressing"),
        (runner(TRADES, ("Reconciling", "CuttingOver")), "Progressing"),
        (runner(("Reconciling", "CuttingOver"), ("ReleaseDrift", "CuttingOver")), "Progressing"),
        (runner(("Stalled", "StateLost")), "Degraded"),
        (runner(("KillSwitch", "Latched")), "Degraded"),
        (runner(TRADES, ("ReleaseDrift", "ReleaseRejected")), "Degraded"),
        (runner(TRADES, ("ReleaseDrift", "MovedByHand")), "Degraded"),
        (runner(TRADES, ("ReleaseDrift", "Manual")), "Suspended"),
        (runner(TRADES, ("ReleaseDrift", "CutoverPending")), "Progressing"),
        (runner(spec={"suspend": True}), "Suspended"),
        (runner(), "Degraded"),
        (runner(TRADES, metadata={"generation": 4}), "Progressing"),
        (runner(TRADES, status={}), "Progressing"),
        ({"metadata": {"generation": 1}, "spec": {}}, "Progressing"),
        (runner(TRADES, metadata={"generation": 3, "deletionTimestamp": "x"}), "Progressing"),
    ],
)
def test_runner(obj: dict[str, Any], status: str) -> None:
    assert health("tradingrunner.lua", obj)[0] == status


def test_a_fault_is_reported_in_its_own_words() -> None:
    assert health("tradingrunner.lua", runner(("Stalled", "StateLost")))[1] == "m StateLost"


@pytest.mark.parametrize("phase", CutoverPhase)
def test_cutover(phase: CutoverPhase) -> None:
    obj = {
        "metadata": {"generation": 1},
        "status": {"observedGeneration": 1, "phase": phase.value, "message": "why"},
    }
    status, message = health("releasecutover.lua", obj)
    means = facts(phase)
    waits = "Suspended" if means.people is People.ALWAYS else "Progressing"
    assert status == {End.GOOD: "Healthy", End.BAD: "Degraded", None: waits}[means.end]
    assert message.endswith("why")


@pytest.mark.parametrize("status", [{}, {"observedGeneration": 0, "phase": "Succeeded"}])
def test_a_cutover_that_was_not_seen_yet(status: dict[str, Any]) -> None:
    obj = {"metadata": {"generation": 1}, "status": status}
    assert health("releasecutover.lua", obj)[0] == "Progressing"


def test_both_scripts_are_installed_under_argo_cds_names() -> None:
    text = (FOLDER / "kustomization.yaml").read_text()
    prefix = re.escape("resource.customizations.health.tradepulse.io_")
    assert dict(re.findall(rf"{prefix}(\w+)=(\S+)", text)) == {
        "TradingRunner": "tradingrunner.lua",
        "ReleaseCutover": "releasecutover.lua",
    }
