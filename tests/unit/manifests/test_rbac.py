"""The operator may do what it does, and nothing else."""

from __future__ import annotations

import itertools

import pytest

from tests.support.manifests.rendering import ROOT, Manifest, find, load
from tests.support.operator.runners import runner
from tradepulse_operator.clients.kubernetes import kinds
from tradepulse_operator.common.names import GROUP
from tradepulse_operator.controllers.runner import diff as drift
from tradepulse_operator.manager import handlers
from tradepulse_operator.resources.runner import lease

APPLIED = {"get", "list", "watch", "create", "patch"}
# (API group, resource) → the verbs that the operator uses on it, and why where that is not plain.
CLUSTER = {
    (GROUP, "tradingrunners"): {"get", "list", "watch", "patch"},  # patch: finalizers
    (GROUP, "releasecutovers"): APPLIED | {"delete"},  # delete: beyond historyLimit
    (GROUP, "tradingrunners/status"): {"update"},
    (GROUP, "releasecutovers/status"): {"update"},
    # Owner references that block deletion.
    (GROUP, "tradingrunners/finalizers"): {"update"},
    ("", "configmaps"): APPLIED | {"delete"},  # delete: no release uses it any more
    ("", "persistentvolumeclaims"): APPLIED,
    ("", "services"): APPLIED | {"update"},  # update: takes foreign list elements out
    ("", "serviceaccounts"): APPLIED,
    ("apps", "statefulsets"): APPLIED | {"update"},
    ("policy", "poddisruptionbudgets"): APPLIED,
    ("networking.k8s.io", "networkpolicies"): APPLIED,
    ("monitoring.coreos.com", "servicemonitors"): APPLIED,
    # The writer Lease; update: to be able to grant it to the runner.
    ("coordination.k8s.io", "leases"): {"get", "create", "patch", "update"},
    ("rbac.authorization.k8s.io", "roles"): APPLIED,
    # delete: its roleRef is immutable.
    ("rbac.authorization.k8s.io", "rolebindings"): APPLIED | {"delete"},
    # The StatefulSet creates the runner's pod; the operator annotates it and deletes the one to
    # replace. create: those that check and rehearse a release, or drill the kill switch.
    ("", "pods"): APPLIED | {"delete"},
    ("", "pods/log"): {"get"},
    ("", "events"): {"list", "create"},
}
NAMESPACE = {("coordination.k8s.io", "leases"): {"get", "create", "update"}}


@pytest.fixture(scope="module")
def objects() -> list[Manifest]:
    return load(ROOT / "manifests" / "rbac")


def granted(role: Manifest) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for rule in role["rules"]:
        for group, resource in itertools.product(rule["apiGroups"], rule["resources"]):
            found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


def test_cluster_role_is_exactly_this(objects: list[Manifest]) -> None:
    assert granted(find(objects, "ClusterRole", "tradepulse-operator")) == CLUSTER


def test_the_lease_is_in_its_own_namespace_only(objects: list[Manifest]) -> None:
    assert granted(find(objects, "Role", "tradepulse-operator")) == NAMESPACE


def test_every_kind_that_the_operator_handles_is_granted() -> None:
    for (version, _), plural in kinds.PLURALS.items():
        group = version.rpartition("/")[0]
        assert (group, plural) in CLUSTER | NAMESPACE


def test_every_kind_that_is_watched_can_be() -> None:
    for group, _, plural in handlers.CHILDREN:
        assert {"list", "watch"} <= CLUSTER[group, plural]


def test_lists_that_are_pruned_by_a_replace_can_be() -> None:
    replaced = {kind for kind, fields in drift._MERGED.items() if fields}
    plurals = {plural for (_, kind), plural in kinds.PLURALS.items() if kind in replaced}
    granted_update = {resource for (_, resource), verbs in CLUSTER.items() if "update" in verbs}
    assert plurals <= granted_update


def test_a_runner_gets_no_more_than_the_operator_has() -> None:
    """The API server refuses a Role with rights that its author lacks."""
    (rule,) = lease.role(runner())["rules"]
    for group, resource in itertools.product(rule["apiGroups"], rule["resources"]):
        assert set(rule["verbs"]) <= CLUSTER[group, resource]


def test_nobody_gets_secrets_wildcards_or_another_role(objects: list[Manifest]) -> None:
    for role in objects:
        for (group, resource), verbs in granted(role).items() if "rules" in role else ():
            assert not {"*", "escalate", "bind", "impersonate"} & {group, resource, *verbs}
            assert not resource.startswith(("secrets", "cluster", "nodes"))
            # Without `escalate` and `bind`, roles hold no more than the operator itself.
            assert resource not in {"roles", "rolebindings"} or "update" not in verbs
            assert resource not in {"pods/exec", "pods/attach", "pods/portforward"}


def test_bindings_bind_these_roles_to_this_account(objects: list[Manifest]) -> None:
    account = find(objects, "ServiceAccount", "tradepulse-operator")["metadata"]
    subject = {"kind": "ServiceAccount", **account}
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        binding = find(objects, kind, "tradepulse-operator")
        find(objects, binding["roleRef"]["kind"], binding["roleRef"]["name"])
        assert binding["subjects"] == [subject]


def test_people_get_the_resources_with_their_usual_roles(objects: list[Manifest]) -> None:
    view = find(objects, "ClusterRole", "tradepulse-view")
    edit = find(objects, "ClusterRole", "tradepulse-edit")
    aggregate = "rbac.authorization.k8s.io/aggregate-to-"
    assert view["metadata"]["labels"] == {f"{aggregate}view": "true"}
    assert edit["metadata"]["labels"] == {
        f"{aggregate}edit": "true",
        f"{aggregate}admin": "true",
    }
    assert {verb for verbs in granted(view).values() for verb in verbs} == {"get", "list", "watch"}
    # Status belongs to the operator: nobody approves or ends a cutover by editing it.
    assert not any("/" in resource for _, resource in granted(edit))
