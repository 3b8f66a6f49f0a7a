"""An automatic cutover that waits ends when what it was stamped for isn't wanted any more."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.operator.cutovers import (
    PHASE,
    SOURCE,
    TRADING,
    Samples,
    cutover,
    pod,
    runner,
    seen,
    status,
    written,
)
from tradepulse_operator.api.meta import OwnerReference
from tradepulse_operator.controllers.cutover.reconcile import decide

WANTED = {"image": "registry.test/runner:1.1.0"}
NEWER = {"image": "registry.test/runner:1.2.0"}
UNSIGNED = {"approvals": {"required": ["risk"]}}


def at(phase: Any = PHASE.AWAITING_APPROVAL, *, stamped: bool = True, **changes: Any) -> Any:
    """What becomes of a cutover to `WANTED`, whose runner has `changes` in its spec."""
    found = cutover(status(phase), release=WANTED, **UNSIGNED)
    if stamped:
        owner = OwnerReference(api_version="x", kind="TradingRunner", name="demo", uid="r")
        meta = found.metadata.model_copy(update={"owner_references": (owner,)})
        found = found.model_copy(update={"metadata": meta})
    user = changes.pop("user_config", None)
    world = {"pod": pod(SOURCE), "process": TRADING, "recording": Samples("ok").recording()}
    observed = seen(found, runner=runner(**changes), user_config=user, **world)
    return written(decide(observed))


RISK = {**runner().spec.risk.wire(), "maxPosition": "6"}


@pytest.mark.parametrize("phase", [PHASE.PREFLIGHT, PHASE.AWAITING_APPROVAL])
@pytest.mark.parametrize(
    "changes",
    [
        {"release": NEWER},
        {"release": {**WANTED, "config": "other"}},
        {"release": {"image": "registry.test/runner:1.0.0"}},  # back to what runs
        {"risk": RISK},
    ],
)
def test_it_ends_before_anything_is_touched(phase: Any, changes: dict[str, Any]) -> None:
    found = at(phase, **changes)
    assert found.phase is PHASE.FAILED
    assert found.message.startswith("Superseded: spec.release or the configuration changed")


@pytest.mark.parametrize(
    ("stamped", "changes"),
    [
        (True, {}),
        (False, {"release": NEWER}),  # a person's own wish
        (True, {"release": NEWER, "cutover": {"mode": "Manual"}}),
    ],
)
def test_else_it_waits_on(stamped: bool, changes: dict[str, Any]) -> None:
    assert at(stamped=stamped, **changes).phase is PHASE.AWAITING_APPROVAL


@pytest.mark.parametrize("phase", [PHASE.HALTING, PHASE.SWITCHING])
def test_once_something_is_touched_it_goes_on(phase: Any) -> None:
    assert at(phase, release=NEWER).phase is phase
