"""What people install has no defect in it, and nothing that switches one on."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import tradepulse_demo
from tests.support.images.catalog import APPS, DEMO, ROOT, source_files
from tests.support.runner.process import environment
from tradepulse_runner.errors import ConfigError
from tradepulse_runner.release import load_release


def wheel(project: Path, target: Path) -> list[str]:
    """The files in the wheel that hatch builds from ``project``."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", target],
        cwd=project,
        check=True,
        capture_output=True,
    )
    [made] = target.glob("*.whl")
    with zipfile.ZipFile(made) as archive:
        return [name for name in archive.namelist() if ".dist-info/" not in name]


def test_the_wheel_has_the_operator_and_the_runner_and_nothing_else(tmp_path: Path) -> None:
    packed = {name for name in wheel(ROOT, tmp_path) if name.endswith(".py")}
    sources = {
        str(path.relative_to(ROOT / app.name))
        for app in APPS
        for path in source_files(app.sources)
        if path.suffix == ".py"
    }
    assert packed == sources
    assert {name.split("/")[0] for name in packed} == {"tradepulse_operator", "tradepulse_runner"}
    assert not any("defect" in name or "regression" in name for name in packed)


def test_the_defects_have_a_wheel_of_their_own(tmp_path: Path) -> None:
    packed = wheel(DEMO, tmp_path)
    assert "tradepulse_demo/defects.py" in packed
    assert {name.split("/")[0] for name in packed} == {"tradepulse_demo"}


def test_nothing_that_is_shipped_knows_the_defects() -> None:
    demo = tradepulse_demo.__name__
    assert [name for name in imports(*DEMO.rglob("*.py")) if name.startswith(demo)]
    for app in APPS:
        assert not [name for name in imports(*app.sources.rglob("*.py")) if name.startswith(demo)]
        # Nor by a name in a text, to be imported later.
        assert not [file for file in source_files(app.sources) if demo in file.read_text()]
        assert "demo" not in app.dockerfile.read_text()


def imports(*files: Path) -> Iterator[str]:
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                yield node.module or ""
            elif isinstance(node, ast.Import):
                yield from (name.name for name in node.names)


@pytest.mark.parametrize("key", ["regression", "regression_after", "defect"])
def test_a_release_file_switches_nothing_on(tmp_path: Path, key: str) -> None:
    file = tmp_path / "release.json"
    file.write_text(json.dumps({"version": "1.0.0", key: "freeze"}))
    with pytest.raises(ConfigError, match=rf"{file}: {key}: .*remove it"):
        load_release({"TRADEPULSE_RELEASE_FILE": str(file)})


def test_a_runner_with_such_a_release_file_does_not_start(tmp_path: Path) -> None:
    file = tmp_path / "release.json"
    file.write_text(json.dumps({"version": "1.0.0", "regression": "freeze"}))
    ended = subprocess.run(
        [sys.executable, "-m", "tradepulse_runner", "run", "--config", ROOT / "configs/paper.yaml"],
        env=environment() | {"TRADEPULSE_RELEASE_FILE": str(file)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == ConfigError.exit_code
    assert "regression" in ended.stderr
