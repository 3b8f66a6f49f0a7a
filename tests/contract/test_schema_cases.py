"""What is refused offline, and in which words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings

from tests.support.schema.mutations import Manifest, Place, faulty, samples
from tests.support.schema.schema_cases import (
    DROP,
    REQUIRED,
    RULES,
    SERVERS_OWN,
    TRANSITIONS,
    Refusal,
    changed,
)
from tests.support.schema.walk import nodes
from tradepulse_operator.api.base import VALIDATIONS
from tradepulse_operator.cli.validate import problems
from tradepulse_operator.codegen.crd import KINDS, root


@pytest.mark.parametrize("name", samples())
def test_the_samples_are_valid(name: str) -> None:
    assert problems(samples()[name]) == []


@pytest.mark.parametrize("refusal", [*REQUIRED, *RULES, *SERVERS_OWN], ids=str)
def test_each_fault_is_named_with_its_remedy(refusal: Refusal) -> None:
    words = refusal.offline or refusal.remedy
    found = problems(refusal.manifest())
    assert [line for line in found if line.startswith(f"{refusal.field}: ") and words in line], (
        found
    )


def test_no_rule_of_the_crds_is_without_a_case() -> None:
    said = [case.remedy for case in (*REQUIRED, *RULES)]
    said += [case.remedy for case in TRANSITIONS if case.remedy]
    untested = {
        found["message"]
        for kind in KINDS
        for _, node in nodes(root(kind))
        for found in node.get(VALIDATIONS, ())
        if not any(words in found["message"] for words in said)
    }
    assert untested == set()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({("kind",): "TradingRuner"}, "kind: not a resource of this operator"),
        ({("apiVersion",): "tradepulse.io/v1"}, "write apiVersion tradepulse.io/v1alpha1"),
        ({("metadata",): DROP}, "metadata.name: name the object"),
        ({("metadata", "name"): "a_b"}, "metadata.name: write lower-case letters"),
        ({("spec", "relaese"): {}}, "spec.relaese: unknown field: correct its spelling or remove"),
    ],
)
def test_what_the_api_server_knows_without_the_crd(
    change: dict[Place, object], expected: str
) -> None:
    found = problems(changed(samples()["tradingrunner"], change))
    assert len(found) == 1, found
    assert expected in found[0]


def test_null_is_the_same_as_absent() -> None:
    manifest = samples()["tradingrunner"]
    manifest["spec"]["state"] = None
    manifest["spec"]["monitoring"] = {"labels": {"team": None}}
    assert problems(manifest) == []
    manifest["spec"]["risk"] = None
    assert problems(manifest)[0].startswith("spec.risk: Required value")


def test_free_form_objects_may_hold_anything() -> None:
    manifest = samples()["tradingrunner"]
    manifest["spec"]["strategy"]["parameters"] = {"a": None, "b": [{"c": 1}]}
    assert problems(manifest) == []


def test_all_faults_are_reported_at_once() -> None:
    manifest = samples()["tradingrunner"]
    manifest["metadata"]["name"] = "1a"
    manifest["spec"]["release"]["image"] = "runner"
    manifest["spec"]["killSwitch"] = {"engaged": True}
    assert len(problems(manifest)) == 3


@given(faulty())
@settings(max_examples=200, deadline=None)
def test_whatever_is_written_is_answered_in_words(manifest: Manifest) -> None:
    json.dumps(manifest)
    for line in problems(manifest):
        assert ": " in line
        assert "\n" not in line
