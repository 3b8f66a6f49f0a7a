"""No kind of test rests on another: what two of them need is in tests/support."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
KINDS = sorted(path.name for path in TESTS.iterdir() if path.is_dir() and path.name[0] not in "._")


def imported(source: str) -> Iterator[str]:
    """The modules that a file imports from the tests; relative ones stay in their own folder."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("tests."))
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            if node.module == "tests":
                yield from (f"tests.{alias.name}" for alias in node.names)
            elif node.module.startswith("tests."):
                yield node.module


def strangers(kind: str, source: str) -> list[str]:
    """What a file of this kind imports and must not."""
    allowed = {kind, "support"}
    return [name for name in imported(source) if name.split(".")[1] not in allowed]


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_rests_on_another(kind: str) -> None:
    found = {
        str(path.relative_to(TESTS)): names
        for path in (TESTS / kind).rglob("*.py")
        if (names := strangers(kind, path.read_text()))
    }
    assert not found, f"move what is shared to tests/support: {found}"


@pytest.mark.parametrize(
    ("kind", "source", "expected"),
    [
        ("unit", "from tests.e2e.client import Cluster", ["tests.e2e.client"]),
        ("unit", "def f():\n    from tests import e2e", ["tests.e2e"]),
        ("unit", "import tests.bench.disk as disk", ["tests.bench.disk"]),
        ("support", "from tests.unit.test_a import b", ["tests.unit.test_a"]),
        ("unit", "from tests.support.parts import run\nfrom tests.unit.a import b", []),
        ("integration", "from .kit import a\nimport json", []),
    ],
)
def test_what_is_forbidden_is_seen(kind: str, source: str, expected: list[str]) -> None:
    assert strangers(kind, source) == expected
