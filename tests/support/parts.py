"""Runs the parts of a test run one after another and ends with what each took.

``python -m tests.support.parts unit contract e2e``: each part is the make target of its name. What
a part prints is passed on as it comes. All parts run, whatever becomes of the others; the exit
status is 1 if one of them failed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

#: pytest's closing line, as a terminal or a pipe gets it: "== 3 passed, 1 skipped in 2.11s ==".
CLOSING = re.compile(r"\b(\d+ \w+(?:, \d+ \w+)* in \d[\d.]*s.*)")
COUNT = re.compile(r"(\d+) (passed|failed|skipped|errors?|xfailed|xpassed)\b")
COLOR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Part:
    """One part that ran. ``wall`` and ``cpu`` are seconds; ``cpu`` is of all its processes."""

    name: str
    wall: float = 0.0
    cpu: float = 0.0
    status: int = 0
    tests: Counter[str] = field(default_factory=Counter)

    @property
    def word(self) -> str:
        if self.status:
            return f"FAILED ({self.status})"
        return "ok"


def counted(line: str) -> Counter[str]:
    """The tests that a closing line of pytest counts, by outcome; empty for any other line."""
    found = CLOSING.search(COLOR.sub("", line))
    if not found:
        return Counter()
    return Counter(
        {what.removesuffix("s"): int(number) for number, what in COUNT.findall(found[1])}
    )


def run(name: str, command: Sequence[str]) -> Part:
    """Runs a command, passes its output on, and measures it."""
    part, begun, before = Part(name), time.monotonic(), os.times()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        for raw in process.stdout:
            sys.stdout.buffer.write(raw)
            sys.stdout.buffer.flush()
            part.tests += counted(raw.decode(errors="replace"))
    after = os.times()
    part.status, part.wall = process.returncode, time.monotonic() - begun
    part.cpu = sum(after[2:4]) - sum(before[2:4])
    return part


def minutes(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def table(parts: Iterable[Part]) -> str:
    """What each part took and cost, and all of them."""
    rows, total = [], Part("all")
    for part in parts:
        rows.append(part)
        total.wall, total.cpu = total.wall + part.wall, total.cpu + part.cpu
        total.status, total.tests = max(total.status, part.status), total.tests + part.tests
    lines = [f"{'part':<16}{'wall':>8}{'cpu':>8}{'passed':>8}{'failed':>8}{'skipped':>8}  result"]
    for part in (*rows, total):
        tests = part.tests
        lines.append(
            f"{part.name:<16}{minutes(part.wall):>8}{minutes(part.cpu):>8}{tests['passed']:>8}"
            f"{tests['failed'] + tests['error']:>8}{tests['skipped']:>8}  {part.word}"
        )
    return "\n".join(lines)


def main(names: Sequence[str]) -> int:
    parts = []
    for number, name in enumerate(names, 1):
        print(f"\n==> {name} ({number} of {len(names)})", flush=True)
        parts.append(run(name, [os.environ.get("MAKE", "make"), "--no-print-directory", name]))
        print(f"==> {name}: {parts[-1].word} after {minutes(parts[-1].wall)}", flush=True)
    print(f"\n{table(parts)}", flush=True)
    return int(any(part.status for part in parts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
