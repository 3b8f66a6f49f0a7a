"""The key of an image changes exactly when one of its inputs does."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path

import pytest

from tests.support.images import catalog
from tests.support.images.base import PythonBase
from tests.support.images.build import Stored, outdated
from tests.support.images.catalog import (
    OPERATOR,
    RELEASES,
    ROOT,
    RUNNER,
    App,
    app_key,
    source_files,
)
from tradepulse_demo.defects import KINDS

BASE = PythonBase("tradepulse.local/python-base:abc", "3.11")


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """A small checkout with the files that an app's key looks at."""
    monkeypatch.setattr(catalog, "ROOT", tmp_path)
    for name in ("requirements/operator.txt", "requirements/uv.txt", "pyproject.toml"):
        write(tmp_path / name, name)
    write(tmp_path / "operator/Dockerfile", "FROM scratch")
    write(tmp_path / "operator/tradepulse_operator/a.py", "a")
    return App("operator", "tradepulse_operator", "tradepulse-operator")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    "changed",
    [
        "requirements/operator.txt",
        "requirements/uv.txt",
        "pyproject.toml",
        "operator/Dockerfile",
        "operator/tradepulse_operator/a.py",
        "operator/tradepulse_operator/new.py",
    ],
)
def test_a_changed_input_is_a_new_key(app: App, tmp_path: Path, changed: str) -> None:
    before = app_key(app, BASE)
    write(tmp_path / changed, "changed")
    assert app_key(app, BASE) != before


def test_a_renamed_file_is_a_new_key(app: App, tmp_path: Path) -> None:
    before = app_key(app, BASE)
    source = tmp_path / "operator/tradepulse_operator/a.py"
    source.rename(source.with_name("b.py"))
    assert app_key(app, BASE) != before


def test_another_base_is_a_new_key(app: App) -> None:
    assert app_key(app, BASE) != app_key(app, dataclasses.replace(BASE, image="other"))


@pytest.mark.parametrize(
    "ignored",
    [
        "operator/tradepulse_operator/__pycache__/a.cpython-311.pyc",
        "operator/tradepulse_operator/.cache/x",
        "runner/tradepulse_runner/a.py",
        "README.md",
    ],
)
def test_what_is_not_packed_does_not_count(app: App, tmp_path: Path, ignored: str) -> None:
    before = app_key(app, BASE)
    write(tmp_path / ignored, "noise")
    assert app_key(app, BASE) == before


def test_operator_and_runner_do_not_share_sources() -> None:
    operator, runner = (set(source_files(app.sources)) for app in (OPERATOR, RUNNER))
    assert operator
    assert runner
    assert not operator & runner


def test_releases_differ_in_tag_and_key() -> None:
    images = [*catalog.runner_images(BASE), *catalog.demo_images(BASE)]
    assert [image.name for image in images] == [release.image for release in RELEASES]
    assert len({image.key for image in images}) == len(images)


def test_each_defect_has_a_release_of_its_own() -> None:
    assert [release.defect for release in RELEASES if release.defect] == list(KINDS)


def test_a_bad_release_is_built_on_a_good_one_that_is_built_before_it() -> None:
    names = [image.name for image in catalog.all_images(BASE)]
    for image in catalog.demo_images(BASE):
        assert names.index(image.arguments["RUNNER_IMAGE"]) < names.index(image.name)


@pytest.mark.parametrize("part", ["Dockerfile", "pyproject.toml", "tradepulse_demo/a.py"])
def test_a_changed_demo_changes_the_bad_releases_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr(catalog, "DEMO", tmp_path)
    monkeypatch.setattr(catalog, "ROOT", tmp_path)
    monkeypatch.setattr(catalog, "app_key", lambda _app, _base: "same")
    write(tmp_path / part, "a")

    def keys() -> list[set[str]]:
        made = (catalog.runner_images(BASE), catalog.demo_images(BASE))
        return [{image.key for image in images} for images in made]

    good, bad = keys()
    write(tmp_path / part, "b")
    assert keys()[0] == good
    assert not keys()[1] & bad


def test_versions_agree_with_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == catalog.VERSION


def test_no_image_name_can_resolve_to_a_registry() -> None:
    for image in catalog.all_images(BASE):
        for tag in image.tags:
            assert re.fullmatch(r"tradepulse\.local/[a-z-]+:[A-Za-z0-9._-]+", tag)


def test_an_image_is_outdated_by_key_and_by_each_tag() -> None:
    image = catalog.operator_image(BASE)
    same, other = Stored("id", image.key, 1), Stored("id", "other", 1)
    current = dict.fromkeys(image.tags, same)
    assert outdated([image], current) == []
    assert outdated([image], {**current, image.tags[1]: other}) == [image]
    assert outdated([image], {image.tags[0]: same}) == [image]
