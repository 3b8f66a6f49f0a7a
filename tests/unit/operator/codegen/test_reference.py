"""The API reference: complete, with links that lead somewhere, and the committed one is current."""

from __future__ import annotations

import re
from pathlib import Path

from tradepulse_operator.api.reasons import REASONS, ConditionType, Word
from tradepulse_operator.codegen import reference
from tradepulse_operator.codegen.files import difference

DOCS = Path(__file__).parents[4] / "docs"


def test_the_committed_page_is_what_the_models_say() -> None:
    assert difference({"reference.md": reference.text()}, DOCS) == ""


def test_each_link_leads_to_a_heading() -> None:
    page = reference.text()
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()) for heading in headings}
    assert len(anchors) == len(headings)
    links = set(re.findall(r"\]\(#([^)]+)\)", page))
    assert links
    assert links <= anchors


def test_each_table_is_well_formed() -> None:
    columns = 0
    for line in reference.text().splitlines():
        if not line.startswith("|"):
            columns = 0
            continue
        columns = columns or line.count("|")
        assert len(re.findall(r"(?<!\\)\|", line)) == columns, line


def test_rules_and_defaults_are_in_it() -> None:
    page = reference.text()
    assert "- credentialsSecret is required for a real venue" in page
    assert "| `errorRate` | number, above 0 to 1 | `0.02` |" in page
    assert "| `runner` | string, at most 52 characters |  | Required. " in page


def test_conditions_and_reasons_are_in_it() -> None:
    page = reference.text()
    classes: tuple[type[Word], ...] = (ConditionType, *REASONS)
    for words in classes:
        for word in words:
            assert f"| `{word}` | {word.where} | {word.about} |" in page
