"""Pods beside the runner's own: what they have of it, and what they must not have."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.support.operator.cutovers import UID, status
from tests.support.operator.cutovers import cutover as some_cutover
from tests.support.operator.runners import BINANCE, PAPER, intent_of, runner
from tradepulse_operator.api.cutover_status import CutoverPhase
from tradepulse_operator.api.rehearsal import RehearsalPolicy
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.api.spec.drill import DrillTarget, RunningDrill
from tradepulse_operator.common.names import (
    ANNOTATION_REHEARSAL,
    API_ACCESS_DIR,
    CONFIG_DIR,
    CREDENTIALS_DIR,
    HTTP_PORT,
    LABEL_APP,
    LABEL_MANAGED_BY,
    MANAGER,
    STATE_DIR,
)
from tradepulse_operator.resources.auxiliary.check import check_pod
from tradepulse_operator.resources.auxiliary.drill import drill_pod
from tradepulse_operator.resources.auxiliary.pod import auxiliary_policy
from tradepulse_operator.resources.auxiliary.rehearsal import rehearsal_config, rehearsal_pod
from tradepulse_operator.resources.config.release import render_release
from tradepulse_operator.resources.labels import selector
from tradepulse_operator.resources.runner.children import children
from tradepulse_operator.resources.runner.pod_spec import pod_spec
from tradepulse_runner.config.runner import RunnerConfig

USER = "loop: {heartbeat_interval: 0.5}\nguard: {action: kill}\n"
POLICY = RehearsalPolicy(required=True, duration="2m")
CUTOVER = some_cutover(status(CutoverPhase.PREFLIGHT))
DRILL = RunningDrill(
    scheduled_for="2026-01-02T03:04:00Z",
    started_at="2026-01-02T03:04:01Z",
    target=DrillTarget.REHEARSAL,
    release="r",
)
ALL = pytest.mark.parametrize("number", [0, 1, 2])
PLACED: dict[str, Any] = {
    "pod": {
        "nodeSelector": {"zone": "a"},
        "tolerations": [{"key": "live", "operator": "Exists"}],
        "imagePullSecrets": ["registry"],
        "resources": {"cpu": "250m", "memory": "300Mi"},
    }
}


def live(**changes: Any) -> TradingRunner:
    return runner(venues=[BINANCE, PAPER], release={"image": "r:2", "config": "mine"}, **changes)


def text(owner: TradingRunner) -> str:
    return render_release(owner, owner.spec.release, USER).text


def pods(owner: TradingRunner) -> list[dict[str, Any]]:
    target = render_release(owner, owner.spec.release, USER)
    return [
        check_pod(CUTOVER, owner, target.release),
        rehearsal_pod(CUTOVER, owner, target.release, target.text, POLICY),
        drill_pod(owner, DRILL, target.release),
    ]


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod["spec"]["containers"]
    return dict(found)


@pytest.mark.parametrize("number", [0, 1])
def test_a_check_and_a_rehearsal_are_the_cutovers(number: int) -> None:
    owner = live()
    meta = pods(owner)[number]["metadata"]
    assert meta["name"] == (f"check-{UID}", f"rehearsal-{UID}")[number]
    (reference,) = meta["ownerReferences"]
    assert (reference["kind"], reference["uid"]) == ("ReleaseCutover", UID)


def test_a_drill_is_the_runners_and_named_after_its_minute() -> None:
    meta = pods(live())[2]["metadata"]
    assert meta["name"] == "demo-drill-202601020304"
    (reference,) = meta["ownerReferences"]
    assert (reference["kind"], reference["uid"]) == ("TradingRunner", "runner-uid")


@ALL
def test_it_is_shut_in_and_not_taken_for_the_runners_pod(number: int) -> None:
    owner = live()
    labels = pods(owner)[number]["metadata"]["labels"]
    policy = auxiliary_policy(owner)["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert labels[LABEL_MANAGED_BY] == MANAGER
    # Neither the Service, nor the StatefulSet, nor Prometheus takes it for the runner's pod.
    assert not selector(owner.metadata.name).items() <= labels.items()


def test_the_policy_lets_nothing_out_and_the_operator_alone_in() -> None:
    owner = runner()
    policy = auxiliary_policy(owner)["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policy
    (rule,) = policy["ingress"]
    (peer,) = rule["from"]
    assert peer["podSelector"]["matchLabels"] == {LABEL_APP: MANAGER}
    assert [each["port"] for each in rule["ports"]] == [HTTP_PORT]
    # It stands whatever is asked for: a pod beside may come by a cutover written by hand.
    assert auxiliary_policy(owner) in children(owner, intent_of(owner), {})


@ALL
def test_it_runs_where_and_as_the_release_will(number: int) -> None:
    owner = live(**PLACED)
    real = pod_spec(owner, intent_of(owner.model_copy(update={"spec": runner().spec})))
    spec, mine = pods(owner)[number]["spec"], container(pods(owner)[number])
    assert spec["securityContext"] == real["securityContext"]
    assert mine["securityContext"] == real["containers"][0]["securityContext"]
    assert mine["image"] == "r:2"
    assert spec["nodeSelector"] == {"zone": "a"}
    assert spec["tolerations"][0]["key"] == "live"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert mine["resources"]["limits"] == {"memory": "300Mi"}
    assert spec["restartPolicy"] == "Never"
    assert spec["activeDeadlineSeconds"] > 0


@ALL
def test_it_has_neither_state_nor_a_token(number: int) -> None:
    spec, mine = pods(live())[number]["spec"], container(pods(live())[number])
    assert spec["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in spec
    assert not any("persistentVolumeClaim" in volume for volume in spec["volumes"])
    assert API_ACCESS_DIR not in [mount["mountPath"] for mount in mine["volumeMounts"]]
    names = {volume["name"] for volume in spec["volumes"]}
    assert {mount["name"] for mount in mine["volumeMounts"]} == names


def test_secrets_are_looked_at_in_the_check_pod_and_may_be_missing() -> None:
    spec, mine = pods(live())[0]["spec"], container(pods(live())[0])
    secrets = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
    assert [(each["secretName"], each["optional"]) for each in secrets] == [("binance-key", True)]
    folder = f"{CREDENTIALS_DIR}/binance"
    assert folder in [mount["mountPath"] for mount in mine["volumeMounts"]]
    assert {"name": "TRADEPULSE_SECRETS", "value": folder} in mine["env"]


@pytest.mark.parametrize("number", [1, 2])
def test_nothing_but_the_check_is_given_a_secret(number: int) -> None:
    pod = pods(live())[number]
    assert not any("secret" in volume for volume in pod["spec"]["volumes"])
    assert not any("valueFrom" in each for each in container(pod)["env"])


def test_the_rehearsal_has_its_own_empty_state() -> None:
    spec, mine = pods(live())[1]["spec"], container(pods(live())[1])
    state = next(volume for volume in spec["volumes"] if volume["name"] == "state")
    assert state["emptyDir"]
    assert {"name": "state", "mountPath": STATE_DIR} in mine["volumeMounts"]
    config = next(volume for volume in spec["volumes"] if volume["name"] == "config")
    (item,) = config["downwardAPI"]["items"]
    assert ANNOTATION_REHEARSAL in item["fieldRef"]["fieldPath"]
    assert CONFIG_DIR in [mount["mountPath"] for mount in mine["volumeMounts"]]


def test_what_is_rehearsed_trades_on_paper_and_leads_nowhere_else() -> None:
    owner = live()
    annotation = pods(owner)[1]["metadata"]["annotations"][ANNOTATION_REHEARSAL]
    found = yaml.safe_load(annotation)
    real = yaml.safe_load(text(owner))
    for key in ("risk", "strategy", "loop", "guard", "runner"):
        assert found[key] == real[key]
    assert [venue["connector"] for venue in found["venues"]] == ["paper", "paper"]
    assert [v["symbols"] for v in found["venues"]] == [v["symbols"] for v in real["venues"]]
    assert not {"lease", "control_dir", "cold_start"} & found.keys()
    # The runner's own validator: an operator and a runner of this tree agree.
    config = RunnerConfig.model_validate(found)
    assert config.lease is None
    assert all(venue.credentials_dir is None for venue in config.venues)


def test_what_nobody_knows_yet_does_not_leave_the_real_configuration() -> None:
    venue = {"name": "a", "connector": "binance", "symbols": ["BTCUSDT"], "options": {"x": 1}}
    given = yaml.safe_dump(
        {"venues": [venue], "risk": {}, "brand_new": {"bootstrap": "kafka:9093"}}
    )
    found = yaml.safe_load(rehearsal_config(given))
    assert found.keys() == {"venues", "risk"}
    assert found["venues"][0]["options"] == {}
