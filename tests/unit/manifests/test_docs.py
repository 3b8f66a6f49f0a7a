"""What documents and docstrings name is in the repository: files, folders, links, headings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("configs/*.md"))
)
#: Where a path in the text may begin, besides the root and the document's own folder.
ROOMS = (
    "operator/tradepulse_operator",
    "runner/tradepulse_runner",
    "tests/unit",
    "tests/unit/operator",
    "tests/unit/runner",
    "tests/integration",
)
#: A path to code of the project, or anything below the folders of tests and manifests.
PATH = re.compile(
    r"(?<![\w./{<-])((?:[\w-]+/)+[\w-]+\.(?:py|lua)|(?:tests|manifests|docs)/[\w./-]*\w/?)(?![\w*{<])"
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.M)
FENCE = re.compile(r"^```.*?^```", re.M | re.S)


def anchors(text: str) -> set[str]:
    """The fragments that a link may name, as GitHub makes them of headings."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in HEADING.findall(FENCE.sub("", text))
    }


def dead_paths(text: str, folder: str = ".") -> list[str]:
    """The paths in a text that lead nowhere."""
    starts = (".", folder, *ROOMS)
    return [
        named
        for named in PATH.findall(LINK.sub("]", text))
        if not any((ROOT / start / named).exists() for start in starts)
    ]


def dead_links(text: str, document: Path) -> list[str]:
    """The links to the project's own files, and to headings in them, that lead nowhere."""
    return [
        link
        for link in LINK.findall(FENCE.sub("", text))
        if "://" not in link and not leads(link, text, document)
    ]


def leads(link: str, text: str, document: Path) -> bool:
    name, _, fragment = link.partition("#")
    target = (ROOT / document.parent / name).resolve() if name else ROOT / document
    if not target.exists():
        return False
    return not fragment or fragment in anchors(target.read_text() if name else text)


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_what_a_document_names_exists(document: Path) -> None:
    text = (ROOT / document).read_text()
    assert not dead_paths(text, str(document.parent))
    assert not dead_links(text, document)


def docstrings(source: str) -> Iterator[str]:
    """Those of a module, its classes and functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


@pytest.mark.parametrize("program", ["operator", "runner", "demo"])
def test_what_a_docstring_names_exists(program: str) -> None:
    for path in sorted((ROOT / program).rglob("*.py")):
        module = path.relative_to(ROOT)
        for text in docstrings(path.read_text()):
            assert not dead_paths(text, str(module.parent)), module


def test_the_documents_are_read() -> None:
    """The search above would pass on nothing, too."""
    text = "\n".join((ROOT / document).read_text() for document in DOCUMENTS)
    assert len(set(PATH.findall(text))) > 40
    assert len(set(LINK.findall(text))) > 60


def test_the_index_lists_each_decision_by_its_title() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    rows = re.findall(r"^\| \[(\d{4})\]\((\S+)\) \| (.+) \|$", index, re.M)
    assert rows == [
        (path.name[:4], path.name, path.read_text().partition("\n")[0].removeprefix("# "))
        for path in sorted(folder.glob("0*.md"))
    ]


@pytest.mark.parametrize(
    "dead", ["tests/unit/test_gone.py", "live/gone.py", "manifests/gone.yaml", "tests/gone/"]
)
def test_a_dead_path_is_seen(dead: str) -> None:
    (text,) = docstrings(f'"""As in `{dead}`."""')
    assert dead_paths(text) == [dead]
    assert dead_paths(f"`live/loop.py` and `{dead}` and `tests/e2e/`") == [dead]


@pytest.mark.parametrize("dead", ["gone.md", "README.md#gone", "#gone", "docs/gone/"])
def test_a_dead_link_is_seen(dead: str) -> None:
    text = f"# Here it is\n[a]({dead}) [b](README.md#find-your-way) [c](#here-it-is) [d](docs/)"
    assert dead_links(text, Path("README.md")) == [dead]
