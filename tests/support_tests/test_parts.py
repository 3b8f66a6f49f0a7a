"""The table at the end of a test run: what is counted, and that a failure is never lost."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from tests.support.parts import counted, run, table


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("===== 3 passed, 1 skipped in 2.11s =====", {"passed": 3, "skipped": 1}),
        ("\x1b[32m=== \x1b[1m6492 passed\x1b[0m in 71.42s (0:01:11) ===", {"passed": 6492}),
        ("=== 1 failed, 2 passed, 3 errors in 0.50s ===", {"failed": 1, "passed": 2, "error": 3}),
        ("12 passed, 2 warnings in 0.10s", {"passed": 12}),
        ("tests/unit/test_a.py .....  [ 10%]", {}),
        ("the runner passed in 3 tries", {}),
    ],
)
def test_closing_lines_are_counted(line: str, expected: dict[str, int]) -> None:
    assert counted(line) == Counter(expected)


def script(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_output_is_passed_on_and_counted(capfd: pytest.CaptureFixture[str]) -> None:
    part = run("unit", script("print('= 2 passed in 0.1s ='); sum(range(10**6))"))
    assert (part.status, part.tests) == (0, Counter(passed=2))
    assert part.wall >= part.cpu / 2 > 0
    assert capfd.readouterr().out == "= 2 passed in 0.1s =\n"


def test_a_failed_part_is_reported_in_its_line_and_in_the_sum() -> None:
    good, bad = run("good", script("")), run("bad", script("raise SystemExit(3)"))
    lines = table([good, bad]).splitlines()
    assert [line.split(None, 1)[0] for line in lines] == ["part", "good", "bad", "all"]
    assert lines[1].endswith("ok")
    assert lines[2].endswith("FAILED (3)")
    assert lines[3].endswith("FAILED (3)")
