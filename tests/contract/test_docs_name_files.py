"""A test or module that a page names is there: the page is where somebody looks for the proof."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/**/*.md")])
_NAMED = re.compile(r"`((?:[\w-]+/)*[\w-]+\.py)`")
#: Where the paths that a page gives may begin, besides the page's own folder.
ROOTS = [
    ROOT,
    ROOT / "operator" / "tradepulse_operator",
    ROOT / "runner" / "tradepulse_runner",
    ROOT / "tests" / "support" / "venues",
]
#: Of the venue's own client.
_ELSEWHERE = frozenset({"jwt_generator.py", "rest_base.py"})


def named() -> list[tuple[str, str]]:
    return [
        (str(page.relative_to(ROOT)), path)
        for page in PAGES
        for path in sorted(set(_NAMED.findall(page.read_text())) - _ELSEWHERE)
    ]


def test_pages_name_files_at_all() -> None:
    assert any(path.startswith("tests/") for _, path in named())


@pytest.mark.parametrize(("page", "path"), named())
def test_a_file_that_a_page_names_is_there(page: str, path: str) -> None:
    folders = [(ROOT / page).parent, *ROOTS]
    assert any((folder / path).is_file() for folder in folders), f"{page}: {path} is not there"
