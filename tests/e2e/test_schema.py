"""The resources on a real API server: what it refuses, defaults, shows and lets change.

Uses the cluster of KUBECONFIG, else the one that the tests bring up. Most requests are dry runs.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from kubernetes import client

from tests.support.e2e.client import Cluster, wait_for
from tests.support.schema.mutations import Manifest, faulty, mutate, samples, single
from tests.support.schema.schema_cases import (
    REQUIRED,
    RULES,
    SERVERS_OWN,
    TRANSITIONS,
    Refusal,
    Transition,
    changed,
)
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.cli.validate import problems

CRDS = Path(__file__).parents[2] / "crds"
GROUP, VERSION = "tradepulse.io", "v1alpha1"


class Refused(Exception):
    """The API server said no. `causes`: (field, message); empty when it could not even decode."""

    def __init__(self, status: Manifest) -> None:
        super().__init__(status["message"])
        found = (status.get("details") or {}).get("causes") or []
        self.causes = [(each.get("field", ""), each.get("message", "")) for each in found]


class Api:
    """Custom resources in a namespace of their own, under strict field validation."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self._objects = client.CustomObjectsApi(cluster.api)

    def create(self, manifest: Manifest, *, dry: bool = True) -> Manifest:
        """The object as it is (or would be) stored. Raises Refused."""
        return self._send("create", manifest, dry=dry)

    def update(self, manifest: Manifest) -> Manifest:
        """The stored object replaced by `manifest`. Raises Refused."""
        plural, name = f"{manifest['kind'].lower()}s", manifest["metadata"]["name"]
        args = (GROUP, VERSION, self.namespace, plural, name)

        def replaced() -> Manifest | None:
            stored = self._objects.get_namespaced_custom_object(*args)
            metadata = {**manifest["metadata"], "resourceVersion": _version(stored)}
            try:
                return self._send("replace", {**manifest, "metadata": metadata}, name)
            except client.ApiException as error:
                if error.status != 409:
                    raise
                return None  # the operator wrote between reading and writing

        return wait_for("an update of the version that was read", replaced, seconds=30)

    def _send(self, verb: str, manifest: Manifest, *name: str, dry: bool = False) -> Manifest:
        call = getattr(self._objects, f"{verb}_namespaced_custom_object")
        plural = f"{manifest['kind'].lower()}s"
        more = {"dry_run": "All"} if dry else {}
        try:
            found = call(
                *(GROUP, VERSION, self.namespace, plural, *name, manifest),
                field_validation="Strict",
                **more,
            )
        except client.ApiException as error:
            if error.status not in (400, 422):
                raise
            raise Refused(json.loads(error.body)) from None
        return dict(found)


def _version(stored: Any) -> str:
    return str(stored["metadata"]["resourceVersion"])


@pytest.fixture(scope="module")
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """A cluster with the CRDs as they are committed, and a namespace that is removed at the end."""
    chosen = os.environ.get("KUBECONFIG")
    cluster = Cluster(Path(chosen)) if chosen else request.getfixturevalue("cluster")
    for path in sorted(CRDS.glob("*s.yaml")):
        _install(cluster, yaml.safe_load(path.read_text()))
    name = f"schema-{uuid.uuid4().hex[:8]}"
    cluster.namespace(name)
    with _anyone_may_sign(cluster):
        yield Api(cluster, name)
    cluster.delete("Namespace", name, "")


@contextmanager
def _anyone_may_sign(cluster: Cluster) -> Iterator[None]:
    """Who signs is the policy's matter (test_approvals), and here only the schema is asked."""
    kind, version = "ValidatingAdmissionPolicyBinding", "admissionregistration.k8s.io/v1"
    names = ("tradepulse-approvals", "tradepulse-checklist")
    live = [found for name in names if (found := cluster.get(kind, name, "", version))]
    if not live:
        yield
        return
    for found in live:
        cluster.delete(kind, found["metadata"]["name"], "", version)
    signed = Api(cluster, "default")
    wait_for("the policy to be off", lambda: _signs(signed), seconds=30)
    try:
        yield
    finally:
        for found in live:
            meta = {"name": found["metadata"]["name"]}
            body = {"apiVersion": version, "kind": kind, "metadata": meta, "spec": found["spec"]}
            cluster.apply(body)


def _signs(api: Api) -> bool:
    try:
        return refusal(api, samples()["releasecutover-full"]) is None
    except client.ApiException:
        return False


def _install(cluster: Cluster, crd: Manifest) -> None:
    cluster.apply(crd)
    wait_for(f"{crd['metadata']['name']} to be served", lambda: _established(cluster, crd))


def _established(cluster: Cluster, crd: Manifest) -> bool:
    found = cluster.get(crd["kind"], crd["metadata"]["name"], "", crd["apiVersion"]) or {}
    conditions = found.get("status", {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def refusal(api: Api, manifest: Manifest) -> Refused | None:
    """Why it would not be created, or None."""
    try:
        api.create(manifest)
    except Refused as found:
        return found
    return None


@pytest.mark.parametrize("name", samples())
def test_the_samples_are_accepted(api: Api, name: str) -> None:
    assert refusal(api, samples()[name]) is None


@pytest.mark.parametrize("case", [*REQUIRED, *RULES, *SERVERS_OWN], ids=str)
def test_bad_input_is_refused_and_the_error_names_field_and_remedy(api: Api, case: Refusal) -> None:
    found = refusal(api, case.manifest())
    assert found is not None
    right = [field for field, message in found.causes if case.remedy in message]
    assert case.field in right, found.causes


def test_a_misspelled_field_is_refused_and_named(api: Api) -> None:
    found = refusal(api, changed(samples()["tradingrunner"], {("spec", "relaese"): {}}))
    assert 'unknown field "spec.relaese"' in str(found)


@pytest.mark.parametrize("case", TRANSITIONS, ids=str)
def test_what_may_change_and_what_may_not(api: Api, case: Transition) -> None:
    """By real updates of a stored object, suspended so that nothing starts for it."""
    first = changed(samples()[case.sample], case.before)
    first["metadata"]["name"] = f"a{uuid.uuid4().hex[:8]}"
    if case.sample == "tradingrunner":
        first["spec"]["suspend"] = True
    api.create(first, dry=False)
    second = changed(first, case.changes)
    if not case.field:
        api.update(second)
        return
    with pytest.raises(Refused) as found:
        api.update(second)
    right = [field for field, message in found.value.causes if case.remedy in message]
    assert right == [case.field], found.value.causes


def test_the_defaults_of_the_schema_are_those_of_the_models(api: Api) -> None:
    """The API server stores what the operator would have read anyway."""
    manifest = samples()["tradingrunner"]
    stored = api.create(manifest)
    read = TradingRunner.model_validate(
        {**manifest, "metadata": {**manifest["metadata"], "namespace": api.namespace}}
    )
    assert stored["spec"] == read.wire()["spec"]
    assert stored["spec"]["cutover"]["template"]["guardrails"]["errorRate"] == 0.02
    assert stored["spec"]["state"]["accessMode"] == "ReadWriteOncePod"


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("tradingrunner", "one process that holds live orders"),
        ("tr.spec.risk", "a runner without them is refused"),
        ("tr.spec.risk.maxDailyLoss", "Loss per UTC day"),
        ("tr.spec.cutover.template.guardrails.custom.query", "PromQL that yields one series"),
        ("rco.spec.abort", "can't be taken back"),
        ("rco.status.rollback.reason", "CamelCase reason"),
    ],
)
def test_kubectl_explains_each_field(api: Api, field: str, words: str) -> None:
    said = " ".join(api.cluster.kubectl("explain", field).split())
    assert words in said


def test_kubectl_shows_both_resources_in_columns(api: Api) -> None:
    """An own status is written, as the operator does, so that each column has something to show."""
    cutover = changed(samples()["releasecutover"], {("metadata", "name"): "shown"})
    cutover["spec"]["runner"] = "nobody"
    api.create(cutover, dry=False)
    release = {"id": "abc", "image": "runner:1.1.0", "configMap": "r-1", "configHash": "1"}
    status = {
        "phase": "Failed",
        "message": "No such runner.",
        "target": release,
        "verdict": {"verdict": "unknown", "at": "2026-01-02T03:04:05Z"},
    }
    body = json.dumps({"status": status})
    args = ("-n", api.namespace, "releasecutover", "shown", "--subresource", "status")
    api.cluster.kubectl("patch", *args, "--type", "merge", "-p", body)

    head, row = api.cluster.kubectl("-n", api.namespace, "get", "rco", "shown").splitlines()
    assert head.split() == ["NAME", "RUNNER", "PHASE", "TARGET", "VERDICT", "AGE", "MESSAGE"]
    assert row.split()[:5] == ["shown", "nobody", "Failed", "runner:1.1.0", "unknown"]
    assert row.endswith("No such runner.")
    wide = api.cluster.kubectl("-n", api.namespace, "get", "tr", "-o", "wide")
    names = "NAME PHASE RELEASE READY TRADING CUTOVER CONFIG EPOCH AGE"
    assert not wide or wide.splitlines()[0].split() == names.split()


def test_cutovers_can_be_selected_by_runner_and_both_by_category(api: Api) -> None:
    for name, runner in (("one", "first"), ("two", "second")):
        cutover = changed(samples()["releasecutover"], {("metadata", "name"): name})
        cutover["spec"]["runner"] = runner
        api.create(cutover, dry=False)
    args = ("-n", api.namespace, "get", "-o", "name")
    found = api.cluster.kubectl(*args, "rco", "--field-selector", "spec.runner=second")
    assert found.split() == ["releasecutover.tradepulse.io/two"]
    assert "releasecutover.tradepulse.io/one" in api.cluster.kubectl(*args, "tradepulse")


@pytest.mark.parametrize("name", ["tradingrunner", "releasecutover"])
def test_each_single_fault_gets_the_same_answer_offline(api: Api, name: str) -> None:
    """Every place of the manifest with every value of the pool: more than a thousand each."""
    base = samples()[name]
    apart = []
    for fault in single(base):
        manifest = mutate(base, fault)
        said = refusal(api, manifest)
        if bool(said) is not bool(problems(manifest)):
            apart.append(f"{fault}: API server {said}; offline {problems(manifest)}")
    assert apart == []


def test_several_faults_at_once_get_the_same_answer_offline(api: Api) -> None:
    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(faulty())
    def agree(manifest: Manifest) -> None:
        said = refusal(api, manifest)
        assert bool(said) is bool(problems(manifest)), f"API server: {said}"

    agree()
