"""Objects of another version, which this operator can't parse: what stops still stops, nothing else
moves, and the object says which field it is."""

from __future__ import annotations

import copy
from typing import Any, cast

import pytest

from tests.support.fakes.kube import failing
from tests.support.operator.engine_world import (
    CUTOVER,
    POD,
    RUNNER,
    SOURCE,
    TARGET,
    EngineWorld,
    cutover,
    runner,
)
from tradepulse_operator.api.runner import CLEAN_STOP
from tradepulse_operator.clients.kubernetes import kinds
from tradepulse_operator.clients.kubernetes.client import Kube
from tradepulse_operator.clients.kubernetes.errors import Conflict
from tradepulse_operator.common.names import ANNOTATION_KILL_SWITCH, ANNOTATION_TRADING
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.manager import key as keys
from tradepulse_operator.manager.apply import Applier
from tradepulse_operator.manager.events import Emitter
from tradepulse_operator.manager.leader import LeaseLost
from tradepulse_operator.manager.loop import Loop
from tradepulse_operator.manager.metrics import Metrics
from tradepulse_operator.manager.reconcilers import reconcilers

KEY, MOVE = keys.runner("ns", "btc"), keys.cutover("ns", "btc-1")
SET = kinds.ref(kinds.STATEFUL_SET, "ns", "btc")
KILL = {"killSwitch": {"engaged": True, "reason": "ada: stop"}}
ACTIVE = {"activeRelease": TARGET, "phase": "Trading"}
#: A connector that this operator doesn't know.
VENUES = [{"name": "k", "connector": "kraken", "credentialsSecret": "k", "symbols": ["BTC-USD"]}]
LOOKS = 12


def stateful_set(release: str = "bbbb", replicas: int = 1) -> Manifest:
    labels = {"tradepulse.io/release": release}
    template = {"metadata": {"labels": labels, "annotations": {}}, "spec": {}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "btc", "namespace": "ns"},
        "spec": {"replicas": replicas, "template": template},
    }


class Scene(EngineWorld):
    """The world with the real reconcilers in it."""

    def __init__(
        self,
        spec: dict[str, Any],
        status: dict[str, Any] | None = None,
        move: Manifest | None = None,
        **meta: Any,
    ) -> None:
        super().__init__()
        found = runner(**spec)
        found["metadata"] |= {"generation": 2, "finalizers": [CLEAN_STOP], **meta}
        found["status"] = {**ACTIVE, **(status or {})}
        self.kube.put(found)
        self.kube.put(stateful_set())
        if move is None:
            del self.kube.objects[CUTOVER]
        else:
            self.kube.put(move)
        self.metrics = Metrics()
        self.leads = True
        kube = cast(Kube, self.kube)
        self.loop = Loop(
            self.observer,
            Applier(kube, self.reporter, self.served),
            Emitter(kube, self.clock, "test"),
            reconcilers=reconcilers(),
            metrics=self.metrics,
            may_act=lambda: self.leads,
        )

    async def settle(self, key: keys.Key = KEY) -> float | None:
        """Look until it waits."""
        for _ in range(LOOKS):
            delay = await self.loop.reconcile(key)
            if delay != 0:
                return delay
        raise AssertionError(f"it doesn't rest: {self.kube.writes}")

    @property
    def orders(self) -> dict[str, str]:
        """Annotations of the pod."""
        found = self.kube.objects[POD]["metadata"].get("annotations", {})
        return {key: value for key, value in found.items() if value}

    @property
    def template(self) -> dict[str, str]:
        """Annotations that a new pod would get."""
        found: dict[str, str] = self.kube.objects[SET]["spec"]["template"]["metadata"][
            "annotations"
        ]
        return found

    @property
    def stalled(self) -> dict[str, Any] | None:
        listed = self.kube.objects[RUNNER]["status"].get("conditions", [])
        return next((each for each in listed if each["type"] == "Stalled"), None)

    def events(self) -> list[Manifest]:
        return [item for ref, item in self.kube.objects.items() if ref.kind == "Event"]

    def verbs(self) -> set[str]:
        """What was written to anything but events."""
        return {f"{verb} {ref.kind}" for verb, ref in self.kube.writes if ref.kind != "Event"}


def unknown_phase(**status: Any) -> Manifest:
    return cutover("PartlyPromoted", **status)


async def test_a_finished_cutover_of_a_newer_version_changes_nothing() -> None:
    """The runner doesn't hold it: control goes on as if it weren't there."""
    scene = Scene(KILL, move=unknown_phase())
    await scene.settle()
    assert scene.orders == {ANNOTATION_KILL_SWITCH: "spec: ada: stop"}
    assert scene.stalled is None or scene.stalled["reason"] != "NotUnderstood"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"venues": VENUES}, "spec.venues.0.connector"),
        ({"cutover": {"mode": "Sometimes"}}, "spec.cutover.mode"),
        ({"state": {"size": {"min": "1Gi"}}}, "spec.state.size"),
        ({"risk": {}}, "spec.risk.maxPosition"),
        ({"release": "r:1"}, "spec.release"),
    ],
)
async def test_the_kill_switch_reaches_a_runner_that_is_not_understood(
    spec: dict[str, Any], field: str
) -> None:
    scene = Scene({**KILL, **spec})
    assert await scene.settle()
    assert scene.orders == {ANNOTATION_KILL_SWITCH: "spec: ada: stop"}
    assert scene.template == {ANNOTATION_KILL_SWITCH: "spec: ada: stop"}
    assert scene.verbs() == {"annotate Pod", "replace StatefulSet", "status TradingRunner"}
    assert scene.stalled is not None
    assert (scene.stalled["status"], scene.stalled["reason"]) == ("True", "NotUnderstood")
    assert field in scene.stalled["message"]
    assert "upgrade the operator" in scene.stalled["message"]
    (event,) = scene.events()
    assert (event["type"], event["reason"]) == ("Warning", "NotUnderstood")
    assert field in event["message"]
    value = scene.metrics.registry.get_sample_value(
        "tradepulse_operator_runner_condition",
        {"runner_namespace": "ns", "runner": "btc", "type": "Stalled"},
    )
    assert value == 1


@pytest.mark.parametrize(
    "kill", [None, {}, {"engaged": False}, {"engaged": "true"}, {"engaged": 1}, "engaged", [True]]
)
async def test_only_true_engages(kill: object) -> None:
    scene = Scene({"killSwitch": kill, "venues": VENUES})
    await scene.settle()
    assert scene.orders == {}
    assert scene.stalled is not None


async def test_a_kill_switch_of_another_type_is_named() -> None:
    scene = Scene({"killSwitch": {"engaged": "later", "reason": "x"}})
    await scene.settle()
    assert scene.stalled is not None
    assert "spec.killSwitch.engaged" in scene.stalled["message"]


async def test_what_is_said_is_said_once_and_the_rest_of_the_status_stays() -> None:
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Trading",
        "lastTransitionTime": "2027-01-15T08:00:00Z",
        "later": {"of": "a newer version"},
    }
    busy = {**ready, "type": "Reconciling"}
    scene = Scene({"venues": VENUES}, {"conditions": [ready, busy], "later": 1})
    await scene.settle()
    status = scene.kube.objects[RUNNER]["status"]
    assert status["conditions"][0] == ready
    assert [each["type"] for each in status["conditions"]] == ["Ready", "Stalled"]
    assert (status["later"], status["activeRelease"]) == (1, TARGET)
    writes = list(scene.kube.writes)
    scene.clock.at += 60
    await scene.settle()
    assert scene.kube.writes == writes


async def test_it_is_understood_again_once_it_is_put_right() -> None:
    scene = Scene({"venues": VENUES})
    await scene.settle()
    right = copy.deepcopy(scene.kube.objects[RUNNER])
    right["spec"] = runner()["spec"]
    scene.kube.put(right)
    for _ in range(LOOKS * 3):
        await scene.loop.reconcile(KEY)
    assert scene.stalled is None or scene.stalled["reason"] != "NotUnderstood"


ROLLING = {"stepAt": "2027-01-15T08:16:00Z", "startedAt": "2027-01-15T08:16:00Z", "reason": "X"}
UID = "uid-btc-1"


@pytest.mark.parametrize(
    ("move", "orders"),
    [
        (
            cutover("Halting", target=SOURCE, source=TARGET),
            {ANNOTATION_TRADING: f"halt {UID} cutover"},
        ),
        (cutover("Halting"), {}),
        (
            cutover("RollingBack", rollback={"step": "Halting", **ROLLING}),
            {ANNOTATION_TRADING: f"halt {UID} rollback"},
        ),
        (
            cutover("RollingBack", rollback={"step": "Draining", **ROLLING}),
            {ANNOTATION_TRADING: f"halt {UID} rollback"},
        ),
        *(
            (
                cutover(phase, rollback={"step": step, **ROLLING}),
                {ANNOTATION_TRADING: f"halt {UID} rollback"},
            )
            for phase, step in [
                ("RollingBack", "CollectingEvidence"),
                ("RollingBack", "Stopping"),
                ("RollingBack", "Starting"),
                ("Verifying", "Starting"),
            ]
        ),
        (
            cutover("Switching", source=TARGET, target=SOURCE),
            {ANNOTATION_TRADING: f"halt {UID} cutover"},
        ),
        (cutover("RollingBack", source=TARGET, target=SOURCE), {}),
        (
            cutover(
                "RollingBack",
                source=TARGET,
                target=SOURCE,
                rollback={"step": "Stopping", **ROLLING},
            ),
            {},
        ),
        (cutover("Halted"), {ANNOTATION_KILL_SWITCH: "cutover btc-1 halted"}),
        (cutover("Baking"), {}),
        (cutover("PartlyPromoted"), {}),
        (cutover("Halted") | {"spec": {"runner": "another"}}, {}),
        ({**cutover(), "status": "Halted"}, {}),
    ],
)
@pytest.mark.parametrize("broken", ["runner", "cutover"])
async def test_the_orders_of_the_claimed_cutover_are_delivered(
    move: Manifest, orders: dict[str, str], broken: str
) -> None:
    move = copy.deepcopy(move)
    if broken == "cutover":
        move["spec"]["onInconclusive"] = "Ask"
    scene = Scene({"venues": VENUES} if broken == "runner" else {}, {"cutover": "btc-1"}, move)
    await scene.settle()
    assert scene.orders == orders
    assert scene.verbs() <= {"annotate Pod", "replace StatefulSet", "status TradingRunner"}
    assert scene.stalled is not None
    expected = "spec.venues.0.connector" if broken == "runner" else "ReleaseCutover btc-1"
    assert expected in scene.stalled["message"]


@pytest.mark.parametrize("lifted", [{"trading": "halt x cutover"}, {"kill-switch": "drill"}])
async def test_no_order_is_lifted(lifted: dict[str, str]) -> None:
    scene = Scene({"venues": VENUES})
    live = {f"tradepulse.io/{key}": value for key, value in lifted.items()}
    scene.kube.objects[POD]["metadata"]["annotations"] = dict(live)
    await scene.settle()
    assert scene.orders == live


async def test_a_suspended_runner_is_stopped() -> None:
    scene = Scene({"venues": VENUES, "suspend": True})
    await scene.settle()
    assert scene.kube.objects[SET]["spec"]["replicas"] == 0
    assert scene.verbs() == {"replace StatefulSet", "status TradingRunner"}


@pytest.mark.parametrize("suspend", ["true", 1, None])
async def test_only_true_suspends(suspend: object) -> None:
    scene = Scene({"venues": VENUES, "suspend": suspend})
    await scene.settle()
    assert scene.kube.objects[SET]["spec"]["replicas"] == 1


async def test_a_runner_that_is_deleted_ends_once_its_pod_is_gone() -> None:
    scene = Scene({"venues": VENUES}, deletionTimestamp="2027-01-15T08:16:00Z")
    assert await scene.settle() == 2
    assert scene.kube.objects[SET]["spec"]["replicas"] == 0
    assert "finalizers TradingRunner" not in scene.verbs()
    del scene.kube.objects[POD]
    await scene.loop.reconcile(KEY)
    assert "finalizers TradingRunner" in scene.verbs()


async def test_another_ones_pod_of_that_name_is_left_alone() -> None:
    scene = Scene({**KILL, "venues": VENUES})
    del scene.kube.objects[POD]["metadata"]["labels"]
    await scene.settle()
    assert scene.orders == {}


async def test_nothing_is_sent_without_the_lease() -> None:
    scene = Scene({**KILL, "venues": VENUES})
    scene.leads = False
    with pytest.raises(LeaseLost):
        await scene.loop.reconcile(KEY)
    assert scene.kube.writes == []


async def test_a_stale_view_looks_again() -> None:
    scene = Scene({**KILL, "venues": VENUES})
    scene.kube.fault = failing(Conflict(409, "Conflict", "x"), "annotate", "replace", "status")
    assert await scene.loop.reconcile(KEY) == 0


async def test_what_is_gone_needs_no_further_look() -> None:
    scene = Scene({"venues": VENUES})
    raw = scene.kube.get
    gone: list[Manifest] = []

    async def get(ref: Any, **more: Any) -> Any:
        found = await raw(ref, **more)
        if ref == RUNNER and not gone:
            gone.append(scene.kube.objects.pop(RUNNER))
        return found

    scene.kube.get = get  # type: ignore[method-assign]
    assert await scene.loop.reconcile(KEY) is None
    assert scene.kube.writes == []


async def test_a_cutover_that_is_not_understood_says_so_by_an_event() -> None:
    scene = Scene(
        {}, move=cutover("Pending") | {"spec": {"runner": "btc", "onInconclusive": "Ask"}}
    )
    before = copy.deepcopy(scene.kube.objects[CUTOVER])
    for _ in range(2):
        assert await scene.loop.reconcile(MOVE) is None
    (event,) = scene.events()
    assert (event["type"], event["reason"]) == ("Warning", "NotUnderstood")
    assert "ReleaseCutover btc-1: spec.onInconclusive" in event["message"]
    assert scene.kube.objects[CUTOVER] == before


@pytest.mark.parametrize("phase", ["Preflight", "Halting", "Baking", "Verifying"])
async def test_a_cutover_waits_while_its_runner_is_not_understood(phase: str) -> None:
    scene = Scene({"venues": VENUES}, {"cutover": "btc-1"}, cutover(phase))
    assert await scene.settle(MOVE) == 10
    status = scene.kube.objects[CUTOVER]["status"]
    assert status["phase"] == phase
    assert "spec.venues.0.connector" in status["message"]
    assert scene.verbs() == {"status ReleaseCutover"}


@pytest.mark.parametrize(
    ("phase", "then"),
    [
        ("Pending", "Failed"),
        ("Halting", "Failed"),
        ("Switching", "RollingBack"),
        ("Baking", "RollingBack"),
    ],
)
async def test_it_can_be_aborted_all_the_same(phase: str, then: str) -> None:
    move = cutover(phase)
    move["spec"]["abort"] = True
    scene = Scene({"venues": VENUES}, {"cutover": "btc-1"}, move)
    for _ in range(3):
        await scene.loop.reconcile(MOVE)
    assert scene.kube.objects[CUTOVER]["status"]["phase"] == then
    await scene.settle()
    halted = {ANNOTATION_TRADING: f"halt {UID} rollback"} if then == "RollingBack" else {}
    assert scene.orders == halted
