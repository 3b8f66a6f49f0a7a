"""The committed environments (``configs/``), as they were before anything was promoted."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.runner.process import ROOT
from tradepulse_operator.cli.promotion import ENVIRONMENTS


def before_any_promotion(folder: Path) -> Path:
    """Copies them into the folder."""
    shutil.copytree(ROOT / "configs", folder)
    for environment in ENVIRONMENTS:
        shutil.rmtree(folder / environment / "promoted")
        (folder / environment / "kustomization.yaml").unlink()
    return folder
