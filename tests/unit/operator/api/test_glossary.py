"""The glossary: in order, each word once, and what it points at exists."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.manifests.described import all_series
from tradepulse_operator.api.cutover_status import CutoverPhase
from tradepulse_operator.api.reasons import REASONS, ConditionType
from tradepulse_operator.codegen.crd import KINDS, root

DOCS = Path(__file__).parents[4] / "docs"
PAGE = (DOCS / "glossary.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| Word")
]
SCHEMAS: Mapping[str, Any] = {kind.KIND: root(kind) for kind in KINDS}
SERIES = {one.name for one in all_series()}
PLACES = [(row[0], place) for row in ROWS for place in re.split(r", (?=\w* ?`)", row[2])]
NAMES: Mapping[str, set[str]] = {
    "condition": {str(kind) for kind in ConditionType},
    "phase": {str(phase) for phase in CutoverPhase},
    "reason": {str(word) for words in REASONS for word in words},
}


def field(path: str) -> bool:
    """Whether there is such a field, below lists as well."""
    kind, *names = path.split(".")
    node = SCHEMAS[kind]
    for name in names:
        node = node.get("items", node).get("properties", {}).get(name)
        if node is None:
            return False
    return True


def exists(place: str) -> bool:
    """Whether the API, the metrics or the commands have what `place` names."""
    if named := re.fullmatch(r"(condition|phase|reason) `(\w+)`", place):
        return named[2] in NAMES[named[1]]
    if path := re.fullmatch(r"`((?:TradingRunner|ReleaseCutover)[\w.]*)`", place):
        return field(path[1])
    if series := re.fullmatch(r"`((?:tradepulse|live_loop)_\w+)`", place):
        return series[1] in SERIES
    return place in {
        "`tradepulse-operator replay`",
        "order journal",
        "`status` of the events `execution.orders`",
    }


def test_each_word_has_a_meaning_and_a_place() -> None:
    assert len(ROWS) > 40
    for word, meaning, where in ROWS:
        assert word
        assert meaning.endswith(".")
        assert where


def test_words_are_in_order_and_there_once() -> None:
    words = [row[0].lower() for row in ROWS]
    assert words == sorted(set(words))


@pytest.mark.parametrize(("word", "place"), PLACES)
def test_a_word_points_at_something_that_exists(word: str, place: str) -> None:
    assert exists(place), f"{word}: {place}"


@pytest.mark.parametrize("place", ["`TradingRunner.spec.nothing`", "phase `Baselining`", "`tp_x`"])
def test_what_does_not_exist_is_seen(place: str) -> None:
    assert not exists(place)


def test_links_lead_to_pages() -> None:
    for page in (DOCS / "glossary.md", DOCS / "metrics.md"):
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert (DOCS / link).exists(), f"{page.name}: {link}"
