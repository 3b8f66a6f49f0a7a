"""The operator's guard says what the shared vectors expect."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.operator_replay import LEVELS, levels
from tests.contract.vectors import slo


@pytest.mark.parametrize("vector", [pytest.param(v, id=name) for name, v in slo.load().items()])
def test_the_operator_agrees(vector: dict[str, Any]) -> None:
    for expected in vector["verdicts"]:
        assert levels(vector, expected["at"]) == {level: expected[level] for level in LEVELS}


def test_the_files_are_what_the_builder_makes() -> None:
    """Remedy when this fails: python -m tests.contract.vectors.slo."""
    on_disk = {path.stem: path.read_text() for path in slo.FOLDER.glob("*.json")}
    assert on_disk == {name: slo.text(made) for name, made in slo.vectors().items()}
