"""Rules that the Dockerfiles keep."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.images.catalog import APPS, DEMO_DOCKERFILE, RUNNER, App


@pytest.fixture(params=APPS, ids=[app.name for app in APPS])
def dockerfile(request: pytest.FixtureRequest) -> tuple[App, str]:
    app: App = request.param
    return app, app.dockerfile.read_text()


def test_the_base_can_be_chosen(dockerfile: tuple[App, str]) -> None:
    text = dockerfile[1]
    assert "ARG PYTHON_IMAGE=python:3.13-slim" in text
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${PYTHON_IMAGE}", "build"}


@pytest.mark.parametrize(
    "file", [*(app.dockerfile for app in APPS), DEMO_DOCKERFILE], ids=lambda file: file.parent.name
)
def test_nothing_needs_a_shell_or_the_network(file: Path) -> None:
    commands = re.findall(r"^(?:RUN|ENTRYPOINT|CMD) (.*)$", file.read_text(), re.MULTILINE)
    assert commands
    for command in commands:
        words = json.loads(command)
        if "install" in words:
            assert "--no-index" in words
            assert "--require-hashes" in words or "--no-deps" in words


def test_it_runs_as_nobody_in_particular(dockerfile: tuple[App, str]) -> None:
    app, text = dockerfile
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == ["65532:65532"]
    assert f'ENTRYPOINT ["{app.script}"]' in text
    assert "PYTHONDONTWRITEBYTECODE=1" in text


def test_releases_differ_in_the_last_layer_only() -> None:
    text = APPS[1].dockerfile.read_text()
    after = text.split("ARG RELEASE_VERSION", 1)[1]
    assert len(re.findall(r"^(?:RUN|COPY|ADD) ", after, re.MULTILINE)) == 1


def test_a_bad_release_is_started_as_a_good_one_is() -> None:
    """What it is given besides its program's name is the same: pods know no difference."""
    good, bad = RUNNER.dockerfile.read_text(), DEMO_DOCKERFILE.read_text()
    for instruction in ("CMD", "USER"):
        lines = re.findall(rf"^{instruction} .*", good, re.MULTILINE)
        assert lines == re.findall(rf"^{instruction} .*", bad, re.MULTILINE) != []
    assert 'ENTRYPOINT ["tradepulse-demo-runner"]' in bad
    assert "FROM ${RUNNER_IMAGE}\n" in bad
