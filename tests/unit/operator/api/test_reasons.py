"""Public reasons: all in one place, each explained, none written out where it is used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tradepulse_operator.api.cutover_status import CutoverPhase, VerdictKind
from tradepulse_operator.api.reasons import (
    REASONS,
    ConditionType,
    ConfigReason,
    CutoverReason,
    GuardReason,
    PodReason,
    RunnerReason,
    Word,
)
from tradepulse_operator.api.runner_status import RunnerPhase

ROOT = Path(__file__).parents[4]
PACKAGE = ROOT / "operator" / "tradepulse_operator"
ROOMS = ("controllers", "guard", "resources")
CLASSES: tuple[type[Word], ...] = (ConditionType, *REASONS)
WORDS = [word for words in CLASSES for word in words]
CONDITIONS = {str(kind) for kind in ConditionType}
PHASES = {str(phase) for phase in CutoverPhase}
CAMEL_CASE = re.compile(r"[A-Z][a-z0-9]+([A-Z][A-Za-z0-9]*)*")
#: Words of Kubernetes: kinds, values of their fields, and what a pod's or a claim's status says.
KUBERNETES = frozenset(
    {
        "Bound",
        "ClusterIP",
        "ConfigMap",
        "Failed",
        "FallbackToLogsOnError",
        "File",
        "IfNotPresent",
        "Image",
        "Ingress",
        "Egress",
        "Lease",
        "Lost",
        "Never",
        "NetworkPolicy",
        "None",
        "Normal",
        "OnDelete",
        "OnRootMismatch",
        "OrderedReady",
        "PersistentVolumeClaim",
        "Pod",
        "PodDisruptionBudget",
        "Ready",
        "Role",
        "RoleBinding",
        "RuntimeDefault",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
        "StatefulSet",
        "Succeeded",
        "True",
        "Warning",
    }
)
#: Units of quantities, and names of products in messages.
OTHER = frozenset({"Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Kafka", "PostgreSQL"})


def literals(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of each CamelCase word that is written out; not what a module exports."""
    tree = ast.parse(source)
    exported = {
        id(item)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for item in ast.walk(node.value)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if id(node) not in exported and CAMEL_CASE.fullmatch(node.value):
            yield node.lineno, node.value


@pytest.mark.parametrize("room", ROOMS)
def test_no_reason_is_written_out_where_it_is_used(room: str) -> None:
    found = {
        f"{file.relative_to(PACKAGE)}:{line}: {word}"
        for file in (PACKAGE / room).rglob("*.py")
        for line, word in literals(file.read_text())
        if word not in KUBERNETES | OTHER
    }
    assert found == set()


def test_a_reason_that_is_written_out_is_seen() -> None:
    source = '__all__ = ["Thing"]\nfail(observed, "SomeReason", f"{x}: NotThis", "nor this")\n'
    assert list(literals(source)) == [(2, "SomeReason")]


def used() -> set[str]:
    """Names of members that the operator's code asks for, as Class.MEMBER."""
    found: set[str] = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found.add(f"{node.value.id}.{node.attr}")
    return found


def test_every_word_is_used() -> None:
    asked = used()
    known = [word for word in WORDS if not isinstance(word, PodReason)]
    assert [w for w in known if f"{type(w).__name__}.{w.name}" not in asked] == []


@pytest.mark.parametrize("words", CLASSES)
def test_no_word_is_there_twice(words: type[Word]) -> None:
    assert len(words.__members__) == len(list(words))


@pytest.mark.parametrize("word", WORDS, ids=lambda word: f"{type(word).__name__}.{word}")
def test_a_word_is_camel_case_and_explained(word: Word) -> None:
    assert CAMEL_CASE.fullmatch(word)
    assert re.fullmatch(r"[A-Z0-9a-z.].{8,}\.", word.about)
    assert word.name == re.sub(r"(?<!^)(?=[A-Z])", "_", word.value).upper()


@pytest.mark.parametrize(
    ("words", "places"),
    [
        (RunnerReason, CONDITIONS | {"Events"}),
        (CutoverReason, CONDITIONS | PHASES),
        (GuardReason, {str(kind) for kind in VerdictKind}),
        (ConfigReason, CONDITIONS | PHASES),
        (PodReason, CONDITIONS | PHASES),
        (ConditionType, {"TradingRunner", "ReleaseCutover", "both"}),
    ],
)
def test_where_a_word_appears_is_the_name_of_something(words: type[Word], places: set[str]) -> None:
    assert {place for word in words for place in re.split("[,;] ", word.where)} <= places


def test_argo_cd_compares_reasons_that_there_are() -> None:
    known = {str(word) for word in WORDS} | {str(phase) for phase in (*CutoverPhase, *RunnerPhase)}
    for file in (ROOT / "manifests" / "argocd").glob("*.lua"):
        text = file.read_text()
        assert set(re.findall(r'\.reason == "(\w+)"', text)) <= known, file.name
        assert set(re.findall(r'condition\("(\w+)"\)', text)) <= CONDITIONS, file.name


def test_alerts_watch_conditions_that_there_are() -> None:
    rules = yaml.safe_load((ROOT / "manifests" / "monitoring" / "prometheusrule.yaml").read_text())
    exprs = [rule["expr"] for group in rules["spec"]["groups"] for rule in group["rules"]]
    watched = {
        kind
        for expr in exprs
        for labels in re.findall(r"runner_condition\{([^}]*)\}", expr)
        for kind in re.findall(r'type="(\w+)"', labels)
    }
    assert watched
    assert watched <= CONDITIONS
