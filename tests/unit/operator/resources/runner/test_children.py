"""Each builder: what matters of it, and why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.operator.runners import BINANCE, PAPER, intent_of, runner
from tradepulse_operator.api.policy import StateOnRollback
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.names import (
    ANNOTATION_APPLIED,
    ANNOTATION_CONFIGS,
    ANNOTATION_KILL_SWITCH,
    ANNOTATION_TRADING,
    LABEL_CONFIG_HASH,
    LABEL_RELEASE,
    LABEL_RUNNER,
)
from tradepulse_operator.resources.config.release import render_release, short_hash
from tradepulse_operator.resources.cutover import automatic_cutover, cutover_name
from tradepulse_operator.resources.desired_run import DesiredRun, Prepare
from tradepulse_operator.resources.manifest import seal
from tradepulse_operator.resources.runner.children import children
from tradepulse_operator.resources.runner.config_map import config_map
from tradepulse_operator.resources.runner.network_policy import network_policy
from tradepulse_operator.resources.runner.persistent_volume_claim import claim
from tradepulse_operator.resources.runner.service_monitor import service_monitor
from tradepulse_operator.resources.runner.stateful_set import copies, stateful_set
from tradepulse_runner.config.runner import LeaseConfig

Any_ = dict[str, Any]


def built(owner: TradingRunner, run: DesiredRun | None = None) -> dict[str, Any_]:
    rendered = render_release(owner, owner.spec.release, None)
    texts = {rendered.release.config_hash: rendered.text}
    found = children(owner, run or intent_of(owner), texts)
    beside = "demo-beside"  # its own tests: test_pod
    return {m["kind"]: m for m in found if m["metadata"]["name"] != beside}


def pod(owner: TradingRunner, run: DesiredRun | None = None) -> Any_:
    spec: Any_ = built(owner, run)["StatefulSet"]["spec"]["template"]["spec"]
    return spec


def test_order_and_names() -> None:
    owner = runner()
    found = built(owner)
    assert list(found) == [
        "ServiceAccount",
        "Lease",
        "Role",
        "RoleBinding",
        "ConfigMap",
        "PersistentVolumeClaim",
        "Service",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "StatefulSet",
        "ServiceMonitor",
    ]
    names = {kind: manifest["metadata"]["name"] for kind, manifest in found.items()}
    assert names.pop("PersistentVolumeClaim") == "demo-state"
    assert names.pop("ConfigMap").startswith("demo-")
    assert set(names.values()) == {"demo"}


def test_every_child_is_labelled_owned_and_sealed() -> None:
    for kind, manifest in built(runner()).items():
        meta = manifest["metadata"]
        assert meta["labels"][LABEL_RUNNER] == "demo"
        assert meta["namespace"] == "trading"
        assert meta["annotations"][ANNOTATION_APPLIED]
        owners = [owner["uid"] for owner in meta.get("ownerReferences", [])]
        # The order state is what can't be made again: by default it outlives its runner.
        assert owners == ([] if kind == "PersistentVolumeClaim" else ["runner-uid"])


def test_the_seal_changes_with_any_field() -> None:
    one: Any_ = {"metadata": {"name": "a"}, "spec": {"x": 1}}
    other: Any_ = {"metadata": {"name": "a"}, "spec": {"x": 1, "y": None}}
    marks = [seal(m)["metadata"]["annotations"][ANNOTATION_APPLIED] for m in (one, other)]
    assert marks[0] != marks[1]
    assert ANNOTATION_APPLIED not in one["metadata"].get("annotations", {})


def test_manifests_are_plain_json() -> None:
    for manifest in built(runner(venues=[PAPER, BINANCE])).values():
        assert json.loads(json.dumps(manifest)) == manifest


# The pod.


def test_pod_security_restricted_accepts_it() -> None:
    """Source: Kubernetes, "Pod Security Standards", restricted."""
    spec = pod(runner(venues=[PAPER, BINANCE]))
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    allowed = {
        "persistentVolumeClaim", "emptyDir", "configMap", "downwardAPI", "secret", "projected",
    }  # fmt: skip
    assert all(set(volume) - {"name"} <= allowed for volume in spec["volumes"])
    for container in spec["initContainers"] + spec["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["readOnlyRootFilesystem"] is True
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)


def test_only_the_runners_container_holds_a_token_and_it_is_short_lived() -> None:
    spec = pod(runner())
    assert spec["automountServiceAccountToken"] is False
    assert built(runner())["ServiceAccount"]["automountServiceAccountToken"] is False
    sources = {v["name"]: v for v in spec["volumes"]}["api-access"]["projected"]["sources"]
    assert {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}} in sources
    mounts = {
        container["name"]: [m["mountPath"] for m in container["volumeMounts"]]
        for container in spec["initContainers"] + spec["containers"]
    }
    where = str(LeaseConfig.model_fields["credentials_dir"].default)
    assert where in mounts["runner"]
    assert where not in mounts["state"]


def test_the_lease_has_no_holder_and_the_pod_may_take_that_one_only() -> None:
    found = built(runner())
    assert "spec" not in found["Lease"]
    (rule,) = found["Role"]["rules"]
    assert rule["resourceNames"] == [found["Lease"]["metadata"]["name"]] == ["demo"]
    assert rule["verbs"] == ["get", "update"]
    assert found["RoleBinding"]["roleRef"]["name"] == found["Role"]["metadata"]["name"]
    (subject,) = found["RoleBinding"]["subjects"]
    assert subject["name"] == pod(runner())["serviceAccountName"]
    assert subject["namespace"] == "trading"


def test_one_pod_that_only_a_decision_replaces() -> None:
    spec = built(runner())["StatefulSet"]["spec"]
    assert spec["replicas"] == 1
    assert spec["updateStrategy"] == {"type": "OnDelete"}
    assert spec["podManagementPolicy"] == "OrderedReady"
    assert spec["revisionHistoryLimit"] == 5
    assert spec["serviceName"] == "demo"
    assert "volumeClaimTemplates" not in spec


def test_every_mount_has_a_volume() -> None:
    run = intent_of(runner(), prepare=Prepare("old:1", restore="u", incident="i"))
    spec = pod(runner(venues=[PAPER, BINANCE]), run)
    volumes = {volume["name"] for volume in spec["volumes"]}
    assert len(volumes) == len(spec["volumes"])
    for container in spec["initContainers"] + spec["containers"]:
        mounts = container["volumeMounts"]
        assert {mount["name"] for mount in mounts} <= volumes
        assert len({mount["mountPath"] for mount in mounts}) == len(mounts)


def test_probes_ask_different_questions() -> None:
    (container,) = pod(runner())["containers"]
    startup, live, ready = (
        container[name] for name in ("startupProbe", "livenessProbe", "readinessProbe")
    )
    paths = [probe["httpGet"]["path"] for probe in (startup, live, ready)]
    assert paths == ["/startupz", "/healthz", "/readyz"]
    assert startup["periodSeconds"] == 1
    assert ready["periodSeconds"] == 2
    # A frozen loop is caught within a minute, a short stall is not.
    assert 20 <= live["periodSeconds"] * live["failureThreshold"] <= 60


def test_the_process_knows_who_it_is() -> None:
    owner = runner()
    run = intent_of(owner)
    (container,) = pod(owner)["containers"]
    env = {item["name"]: item for item in container["env"]}
    assert env["POD_NAMESPACE"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.namespace"
    assert env["POD_UID"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.uid"
    assert env["POD_NAME"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    assert env["TRADEPULSE_CONFIG_HASH"]["value"] == run.release.config_hash
    assert container["args"] == ["run", "--config", "/etc/tradepulse/config/runner.yaml"]


def test_the_pod_tells_its_release() -> None:
    owner = runner()
    run = intent_of(owner)
    labels = built(owner)["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    assert labels[LABEL_RELEASE] == run.release.id
    assert labels[LABEL_CONFIG_HASH] == run.release.config_hash


@pytest.mark.parametrize("halt", ["", "halt u cutover"])
@pytest.mark.parametrize("kill", ["", "spec: drill"])
def test_orders_are_in_the_template_for_a_pod_that_restarts(halt: str, kill: str) -> None:
    owner = runner()
    run = intent_of(owner, halt=halt, kill_switch=kill)
    meta = built(owner, run)["StatefulSet"]["spec"]["template"]["metadata"]
    assert meta["annotations"] == {ANNOTATION_TRADING: halt, ANNOTATION_KILL_SWITCH: kill}


def test_resources_are_written_as_the_api_server_does() -> None:
    owner = runner(pod={"resources": {"cpu": "0.5", "memory": "1024Mi"}})
    for container in pod(owner)["containers"] + pod(owner)["initContainers"]:
        assert container["resources"] == {
            "requests": {"cpu": "500m", "memory": "1Gi"},
            "limits": {"memory": "1Gi"},
        }


def test_placement() -> None:
    owner = runner(
        pod={
            "nodeSelector": {"disk": "fast"},
            "tolerations": [{"key": "trading", "operator": "Exists"}],
            "imagePullSecrets": ["pull"],
            "terminationGracePeriodSeconds": 33,
        }
    )
    spec = pod(owner)
    assert spec["nodeSelector"] == {"disk": "fast"}
    assert spec["tolerations"] == [{"key": "trading", "operator": "Exists"}]
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert spec["terminationGracePeriodSeconds"] == 33
    assert not {"nodeSelector", "tolerations", "imagePullSecrets"} & set(pod(runner()))


def test_secrets_are_those_of_the_release_not_of_the_spec() -> None:
    old = intent_of(runner(venues=[PAPER, BINANCE]))
    spec = pod(runner(), old)
    secrets = [v["secret"] for v in spec["volumes"] if "secret" in v]
    assert secrets == [{"secretName": "binance-key", "defaultMode": 0o440}]
    mounts = [m["mountPath"] for m in spec["containers"][0]["volumeMounts"]]
    assert "/etc/tradepulse/credentials/binance" in mounts


# The state container.

PREPARE: list[tuple[Prepare | None, list[str]]] = [
    (None, []),
    (Prepare("old:1", backup="u1"), ["--backup", "u1"]),
    (
        Prepare("old:1", restore="u1", mode=StateOnRollback.RESTORE),
        ["--restore", "u1", "--mode", "restore"],
    ),
    (
        Prepare("old:1", restore="u1", mode=StateOnRollback.FREEZE, incident="i"),
        ["--restore", "u1", "--mode", "freeze", "--incident-dir", "/etc/tradepulse/incident"],
    ),
]


@pytest.mark.parametrize(("prepare", "more"), PREPARE)
def test_the_state_is_prepared_by_the_code_that_wrote_it(
    prepare: Prepare | None, more: list[str]
) -> None:
    owner = runner()
    (container,) = pod(owner, intent_of(owner, prepare=prepare))["initContainers"]
    assert container["image"] == ("old:1" if prepare else "registry.test/runner:1.0.0")
    base = ["state", "prepare", "--state-dir", "/var/lib/tradepulse", "--keep", "5"]
    assert container["args"] == base + more
    env = {item["name"]: item.get("value") for item in container["env"]}
    assert env["TRADEPULSE_TERMINATION_LOG"] == container["terminationMessagePath"]


def test_a_missing_report_does_not_delay_the_rollback() -> None:
    owner = runner()
    run = intent_of(owner, prepare=Prepare("old:1", restore="u", incident="gone"))
    volumes = {volume["name"]: volume for volume in pod(owner, run)["volumes"]}
    assert volumes["incident"]["configMap"] == {"name": "gone", "optional": True}
    (container,) = pod(owner, run)["containers"]
    assert "incident" in {mount["name"] for mount in container["volumeMounts"]}
    env = {item["name"]: item.get("value") for item in container["env"]}
    assert env["TRADEPULSE_INCIDENT_DIR"] == "/etc/tradepulse/incident"
    assert env["TRADEPULSE_INCIDENT_ID"] == "u"


def test_without_a_report_the_process_knows_of_none() -> None:
    (container,) = pod(runner(), intent_of(runner(), prepare=Prepare("old:1", restore="u")))[
        "containers"
    ]
    assert "incident" not in {mount["name"] for mount in container["volumeMounts"]}
    assert not [item for item in container["env"] if "INCIDENT" in item["name"]]


# The others.


def test_metrics_are_published_before_it_is_ready() -> None:
    spec = built(runner())["Service"]["spec"]
    assert spec["clusterIP"] == "None"
    assert spec["publishNotReadyAddresses"] is True
    assert {port["name"]: port["port"] for port in spec["ports"]} == {"http": 8080, "metrics": 9000}


def test_samples_are_booked_on_runner_and_release() -> None:
    found = service_monitor(
        runner(
            monitoring={
                "scrapeInterval": "5s",
                "labels": {"team": "a", "app.kubernetes.io/name": "not-this"},
            }
        )
    )
    assert found["metadata"]["labels"]["team"] == "a"
    assert found["metadata"]["labels"]["app.kubernetes.io/name"] == "tradepulse-runner"
    assert found["spec"]["targetLabels"] == [LABEL_RUNNER]
    assert found["spec"]["podTargetLabels"] == [LABEL_RELEASE]
    assert found["spec"]["endpoints"] == [{"port": "metrics", "interval": "5s"}]


def test_no_voluntary_eviction() -> None:
    assert built(runner())["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 0


def test_a_runner_reaches_names_and_https_but_not_the_metadata_service() -> None:
    spec = network_policy(runner())["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    names, rule = spec["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert [port["port"] for port in rule["ports"]] == [443, 6443]
    assert rule["to"][0]["ipBlock"]["except"] == ["169.254.169.254/32"]


def test_status_is_for_the_operator_alone() -> None:
    owner = runner()
    http, metrics = network_policy(owner)["spec"]["ingress"]
    assert http["ports"] == [{"port": 8080, "protocol": "TCP"}]
    (peer,) = http["from"]
    assert peer["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "tradepulse-operator"}
    assert metrics["ports"] == [{"port": 9000, "protocol": "TCP"}]
    assert metrics["from"] == [{"namespaceSelector": {}}]


def test_a_claim_grows_and_never_shrinks() -> None:
    owner = runner(state={"size": "2048Mi", "storageClass": "fast"})
    assert claim(owner)["spec"] == {
        "accessModes": ["ReadWriteOncePod"],
        "resources": {"requests": {"storage": "2Gi"}},
        "storageClassName": "fast",
    }
    live = {
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "slow",
            "resources": {"requests": {"storage": "5Gi"}},
        }
    }
    assert claim(owner, live)["spec"] == live["spec"]


def test_a_claim_goes_with_its_runner_only_when_asked() -> None:
    owned = claim(runner(state={"reclaim": "Delete"}))
    assert [item["uid"] for item in owned["metadata"]["ownerReferences"]] == ["runner-uid"]
    assert "ownerReferences" not in claim(runner())["metadata"]


def test_a_configuration_is_immutable_and_named_by_its_hash() -> None:
    found = config_map(runner(), "a: 1\n")
    assert found["immutable"] is True
    assert found["data"] == {"runner.yaml": "a: 1\n"}
    assert found["metadata"]["name"] == f"demo-{short_hash('a: 1' + chr(10))}"


def test_copies_of_configurations_come_back_from_the_stateful_set() -> None:
    owner = runner()
    texts = {"a": "x: 1\n", "b": "y: 2\n"}
    found = stateful_set(owner, intent_of(owner), texts)
    assert copies(found) == texts
    assert copies(stateful_set(owner, intent_of(owner), {})) == {}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}'])
def test_tampered_copies_are_none(text: str) -> None:
    assert copies({"metadata": {"annotations": {ANNOTATION_CONFIGS: text}}}) == {}


def test_copies_keep_below_the_limit_of_annotations() -> None:
    owner = runner()
    found = stateful_set(owner, intent_of(owner), {"big": "x" * 300_000, "small": "y"})
    assert copies(found) == {"small": "y"}


def test_a_stamped_cutover_holds_its_target_and_the_template() -> None:
    owner = runner(cutover={"template": {"bake": "9m"}})
    target = intent_of(owner).release
    found = automatic_cutover(owner, target)
    assert found["metadata"]["name"] == cutover_name(owner, target) == f"demo-{target.id}-g7"
    assert found["spec"]["release"]["image"] == "registry.test/runner:1.0.0"
    assert found["spec"]["bake"] == "9m"
    assert found["spec"]["runner"] == "demo"
    assert "abort" not in found["spec"]
    assert found["metadata"]["ownerReferences"][0]["uid"] == "runner-uid"
