"""What is refused offline, and in which words."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings

from tests.mutations import Manifest, Place, faulty, look, samples
from tradepulse_operator.api.validate import problems


def changed(name: str, place: Place, value: Any = None) -> Manifest:
    """A sample with one value replaced; None removes it."""
    found = copy.deepcopy(samples()[name])
    parent = look(found, place[:-1])
    if value is None:
        del parent[place[-1]]
    else:
        parent[place[-1]] = value
    return found


@pytest.mark.parametrize("name", samples())
def test_the_samples_are_valid(name: str) -> None:
    assert problems(samples()[name]) == []


@pytest.mark.parametrize(
    ("name", "place", "value", "expected"),
    [
        ("tradingrunner", ("kind",), "TradingRuner", "kind: not a resource of this operator"),
        (
            "tradingrunner",
            ("apiVersion",),
            "tradepulse.io/v1",
            "write apiVersion tradepulse.io/v1a",
        ),
        ("tradingrunner", ("metadata", "name"), None, "metadata.name: name the object"),
        ("tradingrunner", ("metadata", "name"), "a_b", "metadata.name: write lower-case letters"),
        ("tradingrunner", ("metadata", "name"), "a" * 53, "metadata.name: metadata.name must not"),
        ("tradingrunner", ("spec",), None, "spec: Required value: say what should run"),
        ("tradingrunner", ("spec", "risk"), None, "spec.risk: Required value: a runner without"),
        (
            "tradingrunner",
            ("spec", "risk", "maxDailyLoss"),
            None,
            "spec.risk.maxDailyLoss: Required value: set the loss that stops trading",
        ),
        (
            "tradingrunner",
            ("spec", "venues", 0, "name"),
            None,
            "spec.venues[0].name: Required value",
        ),
        (
            "tradingrunner",
            ("spec", "venues", 0, "connector"),
            "kraken",
            "spec.venues[0].connector: Input should be 'paper', 'binance' or 'coinbase'",
        ),
        (
            "tradingrunner",
            ("spec", "venues", 0, "symbols", 0),
            "btc",
            "spec.venues[0].symbols[0]: not a symbol: write capital letters",
        ),
        (
            "tradingrunner",
            ("spec", "relaese"),
            {},
            "spec.relaese: unknown field: correct its spelling or remove it",
        ),
    ],
)
def test_each_fault_is_named_with_its_remedy(
    name: str, place: Place, value: Any, expected: str
) -> None:
    found = problems(changed(name, place, value))
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
