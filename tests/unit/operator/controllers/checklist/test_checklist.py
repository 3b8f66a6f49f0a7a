"""The checklist: what is found of each item, which pods are made for it, and what follows."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.support.operator.cutovers import (
    NOW,
    PHASE,
    SOURCE,
    TARGET,
    TRADING,
    UID,
    Samples,
    cutover,
    pod,
    runner,
    seen,
    status,
    written,
)
from tests.support.operator.streams import (
    BUS,
    BUS_SPEC,
    DATABASE,
    DATABASE_SPEC,
    FILLS,
    ORDERS,
    bus,
    telling,
)
from tradepulse_operator.api.checklist import Check, CheckRecord, CheckResult
from tradepulse_operator.api.cutover_status import ReleaseCutoverStatus
from tradepulse_operator.api.spec.drill import LastDrill
from tradepulse_operator.common.names import CONFIG_FILE
from tradepulse_operator.common.time import timestamp
from tradepulse_operator.controllers.checklist.checklist import items
from tradepulse_operator.controllers.checklist.checks import CHECKS
from tradepulse_operator.controllers.cutover.reconcile import decide
from tradepulse_operator.controllers.data_services.compare import FRESH
from tradepulse_operator.controllers.observed.data_services import PartitionView, ReplicaView
from tradepulse_operator.controllers.observed.views import AuxiliaryPodView, CutoverObserved
from tradepulse_operator.controllers.step import Apply, Delete, Step, Wait

OK = Samples("ok").recording()
DIGEST = "registry.test/runner@sha256:aa"
GOOD = {"ok": True, "config": "", "secrets": ""}
NO_SECRET = {"ok": False, "config": "", "secrets": "BINANCE_API_KEY: missing"}
INVALID = {"ok": False, "config": "loop.heartbeat_interval: value 0 is not valid", "secrets": ""}
RESULT = CheckResult
CONFIG = {"kind": "ConfigMap", "data": {CONFIG_FILE: "venues: []\n"}}


def answered(said: Any = None, **changes: Any) -> AuxiliaryPodView:
    """A check pod that ended just now, saying `said`, with the exit code that goes with it."""
    bad = isinstance(said, dict) and (said.get("config") or said.get("secrets"))
    text = said if isinstance(said, str) else json.dumps(said or GOOD)
    found: dict[str, Any] = {
        "image_id": DIGEST,
        "ended": True,
        "exit_code": 1 if bad else 0,
        "message": text,
        "ended_at": NOW - 1,
    }
    return AuxiliaryPodView(uid="c", **{**found, **changes})


RUNS = AuxiliaryPodView(uid="c", image_id=DIGEST)


def at(
    *names: str, phase: Any = PHASE.PREFLIGHT, known: dict[str, Any] | None = None, **changes: Any
) -> CutoverObserved:
    """A cutover with these items; `known`: name → (result, message) in its status."""
    spec = {"checklist": [{"name": name} for name in names], **changes.pop("spec", {})}
    records = tuple(
        CheckRecord(name=name, result=result, message=message, at=timestamp(NOW - 60))
        for name, (result, message) in (known or {}).items()
    )
    held = changes.pop("status", {})
    found = status(phase, checklist=records, **held)
    world = {"pod": pod(SOURCE), "process": TRADING, "recording": OK, "target_config": CONFIG}
    return seen(cutover(found, **spec), **{**world, **changes})


def told(step: Step, name: str) -> tuple[CheckResult, str]:
    """What the step writes of an item."""
    return told_of(written(step), name)


def told_of(found: ReleaseCutoverStatus, name: str) -> tuple[CheckResult, str]:
    record = next(one for one in found.checklist if one.name == name)
    return record.result, record.message


PASSED = {"image": (RESULT.PASS, DIGEST), "config": (RESULT.PASS, "")}
_WAITS = "waits for the answer of the target release's check pod"
PENDING = {name: (RESULT.PENDING, _WAITS) for name in PASSED}
FAILED_SECRETS = {"secrets": (RESULT.FAIL, "BINANCE_API_KEY: missing")}


def test_without_a_checklist_nothing_is_asked_for() -> None:
    assert written(decide(at())).phase is PHASE.HALTING
    assert written(decide(at())).checklist == ()


def test_it_is_written_before_a_pod_is_made_and_the_pod_is_made_once() -> None:
    first = decide(at("image", "config"))
    assert told(first, "image")[0] is RESULT.PENDING
    made = decide(at("image", "config", known=PENDING))
    assert isinstance(made, Apply)
    assert made.manifest["metadata"]["name"] == f"check-{UID}"
    image = {**PENDING, "image": (RESULT.PASS, DIGEST)}
    target = {"target": TARGET.model_copy(update={"image_id": DIGEST})}
    waits = written(decide(at("image", "config", known=image, check=RUNS, status=target)))
    assert waits.message == f"waits for the checklist: config ({_WAITS})"


def test_the_digest_is_that_of_the_node() -> None:
    found = written(decide(at("image", check=RUNS)))
    assert found.target
    assert found.target.image_id == DIGEST


@pytest.mark.parametrize(
    ("said", "name", "result", "message"),
    [
        (GOOD, "config", RESULT.PASS, ""),
        (GOOD, "secrets", RESULT.PASS, ""),
        (NO_SECRET, "config", RESULT.PASS, ""),
        (NO_SECRET, "secrets", RESULT.FAIL, "BINANCE_API_KEY: missing"),
        (INVALID, "config", RESULT.FAIL, INVALID["config"]),
        ("Error: No such command 'config'.", "config", RESULT.FAIL, "gave no answer"),
        ("[]", "config", RESULT.FAIL, "gave no answer"),
        ("", "config", RESULT.FAIL, "gave no answer"),
        ({"config": "", "secrets": ""}, "config", RESULT.FAIL, "gave no answer"),
        ({**GOOD, "ok": "true"}, "config", RESULT.FAIL, "gave no answer"),
        ({**GOOD, "config": None}, "config", RESULT.FAIL, "gave no answer"),
        ({**GOOD, "ok": False}, "config", RESULT.FAIL, "contradicts itself"),
        ({**NO_SECRET, "ok": True}, "secrets", RESULT.PENDING, "waits for the answer"),
        ({**GOOD, "later": 1}, "config", RESULT.PASS, ""),
        ("Error: No such command 'config'.", "secrets", RESULT.PENDING, "waits for the answer"),
    ],
)
def test_what_the_target_says_is_reported(
    said: Any, name: str, result: CheckResult, message: str
) -> None:
    found = told(decide(at("config", "secrets", check=answered(said))), name)
    assert found[0] is result
    assert message in found[1]


@pytest.mark.parametrize(("said", "code"), [(GOOD, 1), (GOOD, 2), (NO_SECRET, 0), (INVALID, 0)])
def test_an_answer_and_its_exit_code_must_agree(said: Any, code: int) -> None:
    found = told(decide(at("config", "secrets", check=answered(said, exit_code=code))), "config")
    assert found[0] is RESULT.FAIL
    assert "contradicts itself" in found[1]


@pytest.mark.parametrize("said", [INVALID, "Error: No such command 'config'."])
def test_what_cannot_come_true_refuses_in_the_targets_words(said: Any) -> None:
    found = written(decide(at("config", check=answered(said))))
    assert found.phase is PHASE.FAILED
    assert found.message.startswith("CheckFailed: config: ")
    assert (INVALID["config"] if said is INVALID else "No such command") in found.message


@pytest.mark.parametrize(
    "lost", [answered("", exit_code=None, message="Evicted"), answered("", exit_code=137)]
)
def test_a_pod_that_was_ended_is_no_refusal(lost: AuxiliaryPodView) -> None:
    found = written(decide(at("config", check=lost)))
    assert found.phase is PHASE.PREFLIGHT
    assert found.checklist[0].result is RESULT.FAIL


def test_a_fault_that_may_be_put_right_is_looked_at_again() -> None:
    held = at("secrets", known=FAILED_SECRETS, check=answered(NO_SECRET))
    assert "BINANCE_API_KEY: missing" in written(decide(held)).message
    step = decide(replace(held, check=answered(NO_SECRET, ended_at=NOW - 31)))
    assert isinstance(step, Delete)
    assert isinstance(decide(replace(held, check=None)), Apply)
    still = written(decide(replace(held, check=RUNS)))
    assert told_of(still, "secrets") == FAILED_SECRETS["secrets"]
    assert told(decide(replace(held, check=answered())), "secrets")[0] is RESULT.PASS


def test_the_pod_goes_once_its_answer_is_in_the_status() -> None:
    done = at("config", known={"config": (RESULT.PASS, "")}, check=answered())
    step = decide(done)
    assert isinstance(step, Delete)
    assert (step.ref.kind, step.ref.name, step.uid) == ("Pod", f"check-{UID}", "c")
    assert written(decide(replace(done, check=None))).phase is PHASE.HALTING
    leaving = answered(deleting=True)
    assert written(decide(replace(done, check=leaving))).phase is PHASE.HALTING


@pytest.mark.parametrize("phase", [PHASE.FAILED, PHASE.SUCCEEDED])
def test_a_pod_that_came_too_late_goes_after_the_end(phase: Any) -> None:
    assert isinstance(decide(at("config", phase=phase, check=answered())), Delete)
    assert isinstance(decide(at("config", phase=phase)), Wait)


def test_on_the_way_nothing_waits_for_it() -> None:
    """Removing a pod may be refused for ever; a rollback must not wait for that."""
    on_its_way = at("config", phase=PHASE.HALTING, check=answered())
    assert not isinstance(decide(on_its_way), Delete)


MANUAL = {"checklist": [{"name": "on-call", "manual": "someone is on call tonight"}]}


def test_people_vouch_for_what_only_people_see() -> None:
    found = told(decide(at(spec=MANUAL)), "on-call")
    assert found == (
        RESULT.PENDING,
        "waits for someone to vouch for it: someone is on call tonight",
    )
    said = [{"check": "on-call", "by": "ada", "note": "paged bob, he answered"}]
    vouched = at(spec={**MANUAL, "confirmations": said})
    record = written(decide(vouched)).checklist[0]
    assert (record.result, record.by) == (RESULT.PASS, "ada")
    assert record.message == "paged bob, he answered"


def test_a_waiver_says_who_and_why_and_needs_no_pod() -> None:
    waiver = [{"check": "config", "by": "ada", "reason": "known and harmless"}]
    waived = at("config", spec={"waivers": waiver})
    record = written(decide(waived)).checklist[0]
    assert (record.result, record.by, record.message) == (
        RESULT.WAIVED,
        "ada",
        "known and harmless",
    )
    found = waived.cutover.status.model_copy(update={"checklist": (record,)})
    after = replace(waived, cutover=waived.cutover.model_copy(update={"status": found}))
    assert written(decide(after)).phase is PHASE.HALTING


def test_an_open_item_holds_and_is_named() -> None:
    known = {
        "on-call": (RESULT.PENDING, "waits for someone to vouch for it: someone is on call tonight")
    }
    held = at(spec=MANUAL, known=known)
    step = decide(held)
    assert written(step).phase is PHASE.PREFLIGHT
    assert written(step).message.startswith("waits for the checklist: on-call (waits for someone")


@pytest.mark.parametrize(
    ("process", "result"),
    [
        (None, RESULT.PENDING),
        (TRADING, RESULT.FAIL),  # a release that doesn't tell
        (replace(TRADING, free_bytes=10**9, backup_bytes=10**6), RESULT.PASS),
        (replace(TRADING, free_bytes=18 * 1024**2, backup_bytes=10**6), RESULT.PASS),
        (replace(TRADING, free_bytes=18 * 1024**2, backup_bytes=10**7), RESULT.FAIL),
    ],
)
def test_room_for_a_backup(process: Any, result: CheckResult) -> None:
    assert told(decide(at("backup-space", process=process)), "backup-space")[0] is result


def drilled(days: float, result: str = "Passed", passed: bool = True) -> Any:
    at = timestamp(NOW - days * 86_400)
    drill = {"at": at, "scheduledFor": at, "target": "Rehearsal", "result": result, "release": "x"}
    found = runner()
    last = LastDrill.model_validate({**drill, **({"passedAt": at} if passed else {})})
    return found.model_copy(update={"status": found.status.model_copy(update={"last_drill": last})})


@pytest.mark.parametrize(
    ("owner", "age", "result"),
    [
        (runner(), None, RESULT.FAIL),
        (drilled(1), None, RESULT.PASS),
        (drilled(8), None, RESULT.FAIL),
        (drilled(8), "240h", RESULT.PASS),
        (drilled(1), "1h", RESULT.FAIL),
        (drilled(1, "Failed"), None, RESULT.FAIL),
        (drilled(1, "Failed", passed=False), None, RESULT.FAIL),
    ],
)
def test_a_recent_drill(owner: Any, age: str | None, result: CheckResult) -> None:
    item = {"name": "kill-switch-drill", **({"maxAge": age} if age else {})}
    assert told(decide(at(spec={"checklist": [item]}, runner=owner)), item["name"])[0] is result


@pytest.mark.parametrize("name", ["volume", "samples", "one-cutover"])
def test_what_always_must_hold_can_be_listed(name: str) -> None:
    assert told(decide(at(name)), name) == (RESULT.PASS, "")


def test_an_item_that_stays_as_it_is_costs_no_write() -> None:
    known = {name: (RESULT.PASS, "") for name in ("volume", "samples")}
    step = decide(at("volume", "samples", known=known))
    assert written(step).phase is PHASE.HALTING
    assert [one.at for one in written(step).checklist] == [timestamp(NOW - 60)] * 2


def test_what_the_runners_owner_asks_for_cannot_be_left_out() -> None:
    asked = {"checklist": [{"name": "config"}, {"name": "on-call", "manual": "asked by the owner"}]}
    owner = runner(cutover={"template": asked})
    mine = {"checklist": [{"name": "on-call", "manual": "softer"}, {"name": "image"}]}
    found = items(cutover(status(PHASE.PREFLIGHT), **mine), owner)
    assert [item.name for item in found] == ["config", "on-call", "image"]
    assert found[1].manual == "asked by the owner"


def test_every_check_that_can_be_listed_is_made() -> None:
    assert set(CHECKS) == set(Check)
    for check in Check:
        assert written(decide(at(check.value))).checklist[0].name == check.value


def served(name: str, process: Any, spec: dict[str, Any] | None = None) -> CutoverObserved:
    """A cutover that lists the item, of a runner with an event bus and a database."""
    owner = runner(eventBus=BUS_SPEC, database=DATABASE_SPEC)
    return at(name, runner=owner, process=process, spec=spec or {})


STALE = NOW - FRESH - 1
LAG = {"baseline": {"kafka": {"maxLag": 1}, "postgres": {"maxReplicaLag": "100ms"}}}


@pytest.mark.parametrize(
    ("name", "process", "spec", "result", "says"),
    [
        ("kafka", telling(), {}, RESULT.PASS, ""),
        ("kafka", telling(), {"baseline": {"kafka": {"maxLag": 2}}}, RESULT.PASS, ""),
        ("kafka", None, {}, RESULT.PENDING, "waits for the active release to report on Kafka"),
        ("kafka", telling(None), {}, RESULT.FAIL, "doesn't report on Kafka: check it yourself"),
        (
            "kafka",
            telling(bus(problem="no broker answers")),
            {},
            RESULT.FAIL,
            "no broker answers; remedy: check the brokers, and spec.eventBus",
        ),
        ("kafka", telling(bus(at=STALE)), {}, RESULT.FAIL, "Kafka hasn't answered the active"),
        ("kafka", telling(bus(at=None)), {}, RESULT.FAIL, "Kafka hasn't answered the active"),
        (
            "kafka",
            telling(),
            LAG,
            RESULT.FAIL,
            f"more than 1 records behind (baseline.kafka.maxLag): settlement on {FILLS}, settlement"
            f" on {ORDERS}: check the reader, and let it catch up",
        ),
        (
            "kafka",
            telling(bus(problem="no; remedy: run")),
            {},
            RESULT.FAIL,
            "no; remedy: run",
        ),
        (
            "kafka",
            telling(replace(BUS, partitions=())),
            LAG,
            RESULT.FAIL,
            "reader recorder has committed no offset yet",
        ),
        ("kafka", telling(replace(BUS, partitions=())), {}, RESULT.PASS, ""),
        (
            "postgres",
            telling(database=replace(DATABASE, primary=None)),
            {},
            RESULT.FAIL,
            "there is no primary: check the servers, and spec.database.hosts",
        ),
        ("postgres", telling(), {}, RESULT.PASS, ""),
        ("postgres", None, {}, RESULT.PENDING, "waits for the active release to report on Postgre"),
        ("postgres", telling(database=None), {}, RESULT.FAIL, "doesn't report on PostgreSQL"),
        (
            "postgres",
            telling(database=replace(DATABASE, problem="no server answers")),
            {},
            RESULT.FAIL,
            "no server answers; remedy: check the servers, and spec.database",
        ),
        (
            "postgres",
            telling(database=replace(DATABASE, at=STALE)),
            {},
            RESULT.FAIL,
            "PostgreSQL hasn't answered the active release within 60 s",
        ),
        (
            "postgres",
            telling(database=replace(DATABASE, replicas=(ReplicaView("b:1", problem="down"),))),
            {},
            RESULT.FAIL,
            "replica b:1: down; remedy: mend it, or take it out of spec.database.hosts",
        ),
        (
            "postgres",
            telling(database=replace(DATABASE, replicas=(ReplicaView("b:1"),))),
            LAG,
            RESULT.FAIL,
            "replica b:1 doesn't report its lag",
        ),
        (
            "postgres",
            telling(),
            LAG,
            RESULT.FAIL,
            "replica db-b:5432 is more than 100ms behind (baseline.postgres.maxReplicaLag)",
        ),
    ],
)
def test_streams_are_reachable_and_followed(
    name: str, process: Any, spec: dict[str, Any], result: CheckResult, says: str
) -> None:
    found = told(decide(served(name, process, spec)), name)
    assert found[0] is result
    assert says in found[1]


@pytest.mark.parametrize(
    ("name", "field"), [("kafka", "spec.eventBus"), ("postgres", "spec.database")]
)
def test_what_the_runner_does_not_have_cannot_be_checked_but_waived(name: str, field: str) -> None:
    result, message = told(decide(at(name)), name)
    assert result is RESULT.FAIL
    assert message == (f"the runner has no {field}: add it, or remove the item {name} or waive it")
    waiver = {"waivers": [{"check": name, "by": "ada", "reason": "it comes tomorrow"}]}
    assert told(decide(at(name, spec=waiver)), name)[0] is RESULT.WAIVED


def test_what_changes_at_each_look_writes_nothing() -> None:
    """Offsets and lags move on all the time; what is found stays the same."""
    late = decide(served("kafka", telling(), LAG))
    record = written(late).checklist[0]
    known = {"kafka": (record.result, record.message)}
    held = {"message": written(late).message, "conditions": written(late).conditions}
    further = telling(
        bus(
            PartitionView(ORDERS, 0, 9000, {"recorder": 9000, "settlement": 12}),
            PartitionView(FILLS, 0, 99, {"settlement": 42}),
        )
    )
    owner = runner(eventBus=BUS_SPEC, database=DATABASE_SPEC)
    again = at("kafka", known=known, status=held, runner=owner, process=further, spec=LAG)
    # The generation is what the status speaks of, so this look has no other news.
    seen_before = again.cutover.status.model_copy(update={"observed_generation": 1})
    again = replace(again, cutover=again.cutover.model_copy(update={"status": seen_before}))
    assert isinstance(decide(again), Wait)


@pytest.mark.parametrize(
    ("part", "policy", "field"),
    [
        ("kafka", {"maxLag": 1}, "spec.eventBus.readers"),
        ("postgres", {"maxReplicaLag": "1s"}, "spec.database"),
    ],
)
def test_a_policy_of_what_the_runner_does_not_have_is_refused(
    part: str, policy: dict[str, Any], field: str
) -> None:
    move = cutover(status(PHASE.PENDING), baseline={part: policy})
    found = written(decide(seen(move)))
    assert found.phase is PHASE.FAILED
    assert f"spec.baseline.{part} asks for what the runner doesn't have: add {field}" in (
        found.message
    )
    owner = runner(eventBus=BUS_SPEC, database=DATABASE_SPEC)
    assert written(decide(seen(move, runner=owner))).phase is not PHASE.FAILED


# --- what is signed is what was checked -----------------------------------------------------------


def signed(image: str | None, **grant: Any) -> CutoverObserved:
    approvals = {"required": ["risk"], "granted": [{"role": "risk", "by": "ada", **grant}]}
    target = TARGET.model_copy(update={"image_id": image})
    held = {"target": target}
    known = {"image": (RESULT.PASS, image)} if image else None
    names = ("image",) if image else ()
    return at(*names, known=known, status=held, spec={"approvals": approvals})


@pytest.mark.parametrize(
    ("image", "grant", "phase"),
    [
        (None, {"release": TARGET.id}, PHASE.HALTING),
        (None, {"release": "0000000000"}, PHASE.AWAITING_APPROVAL),
        (DIGEST, {"release": TARGET.id, "imageId": DIGEST}, PHASE.HALTING),
        (DIGEST, {"release": TARGET.id}, PHASE.AWAITING_APPROVAL),
        (DIGEST, {"release": TARGET.id, "imageId": "sha256:bb"}, PHASE.AWAITING_APPROVAL),
        (DIGEST, {"release": "0000000000", "imageId": DIGEST}, PHASE.AWAITING_APPROVAL),
    ],
)
def test_a_signature_is_of_this_configuration_and_this_digest(
    image: str | None, grant: dict[str, Any], phase: Any
) -> None:
    assert written(decide(signed(image, **grant))).phase is phase


def test_a_void_signature_is_named() -> None:
    message = written(decide(signed(DIGEST, release=TARGET.id, imageId="sha256:bb"))).message
    assert "ada signed image sha256:bb as risk, which is another one" in message
    assert DIGEST in message


def test_another_image_than_the_checked_one_goes_back() -> None:
    """The tag was moved between the check and the switch."""
    held = {"target": TARGET.model_copy(update={"image_id": DIGEST})}
    moved = at("image", phase=PHASE.SWITCHING, status=held, pod=pod(image_id="sha256:bb"))
    found = written(decide(moved))
    assert found.phase is PHASE.ROLLING_BACK
    assert found.rollback
    assert found.rollback.reason == "ImageChanged"
    same = at("image", phase=PHASE.SWITCHING, status=held, pod=pod(image_id=DIGEST))
    assert written(decide(same)).phase is PHASE.BAKING
