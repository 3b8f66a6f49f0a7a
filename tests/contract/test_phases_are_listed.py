"""A phase or a step that has no row in the table doesn't type-check: planted, and looked for."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "operator" / "tradepulse_operator"


def test_a_phase_or_step_that_is_not_listed_does_not_type_check(tmp_path: Path) -> None:
    copy = tmp_path / "operator" / "tradepulse_operator"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "runner").mkdir()
    enums = copy / "api" / "cutover_status.py"
    text = enums.read_text()
    for name in ("BACKING_UP", "STOPPING"):
        text, count = re.subn(
            rf'^    {name} = "\w+"$', f'    X{name} = "X"\n\\g<0>', text, flags=re.M
        )
        assert count == 1
    enums.write_text(text)
    words = ["--cache-dir", str(tmp_path / "cache"), "--no-error-summary"]
    files = [str(copy / "api/phases.py"), str(copy / "controllers/cutover/reconcile.py")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words, *files],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    found = sorted(
        (Path(line.split(":")[0]).name, line.split("Literal[")[1].split("]")[0])
        for line in done.stdout.splitlines()
        if '"assert_never"' in line
    )
    assert found == [
        ("phases.py", "CutoverPhase.XBACKING_UP"),
        ("phases.py", "RollbackStep.XSTOPPING"),
        ("reconcile.py", "CutoverPhase.XBACKING_UP"),
        ("rolling_back.py", "RollbackStep.XSTOPPING"),
        ("rolling_back.py", "RollbackStep.XSTOPPING"),
    ], done.stdout + done.stderr
