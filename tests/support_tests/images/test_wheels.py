"""What the wheelhouse takes out of the lock files and out of pyproject.toml."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.support.images.catalog import APPS, OPERATOR, ROOT, RUNNER
from tests.support.images.wheels import locked, only_script

LOCK = """\
pip==26.3 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via -r requirements/uv.in
pip-tools==1 \\
    --hash=sha256:cc
"""


def test_locked_takes_one_package_with_all_of_its_hashes() -> None:
    assert locked("pip", LOCK).splitlines() == [
        "pip==26.3 \\",
        "    --hash=sha256:aa \\",
        "    --hash=sha256:bb",
    ]


def test_locked_refuses_what_is_not_there() -> None:
    with pytest.raises(LookupError, match="tools"):
        locked("tools", LOCK)


def test_only_the_own_script_is_packed() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    for app in APPS:
        scripts = tomllib.loads(only_script(app, text))["project"]["scripts"]
        assert list(scripts) == [app.script]


def test_a_script_that_is_gone_is_noticed() -> None:
    with pytest.raises(LookupError, match=RUNNER.script):
        only_script(OPERATOR, "[project]\n")


@pytest.mark.parametrize("name", ["dev", "operator", "runner", "uv"])
def test_every_requirement_is_pinned_by_hash(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    pins = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert pins
    for pin in pins:
        assert re.match(r"[A-Za-z0-9._-]+==\S+( ;.*)? \\\n", pin), pin.splitlines()[0]
        assert "--hash=sha256:" in pin


@pytest.mark.parametrize("name", ["dev", "operator", "runner", "uv"])
def test_locks_name_no_place(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert not re.search(r"https?://|--index-url|--find-links|file:|/tmp/|/root/|/home/", text)


@pytest.mark.parametrize("name", ["operator", "runner"])
def test_images_run_what_the_tests_ran(name: str) -> None:
    """Every pin of an image's lock is the pin of the development lock."""
    pins, tested = (
        set(re.findall(r"^([A-Za-z0-9._-]+==\S+)", text, re.MULTILINE))
        for text in (
            (ROOT / "requirements" / f"{name}.txt").read_text(),
            (ROOT / "requirements" / "dev.txt").read_text(),
        )
    )
    assert pins <= tested


def test_the_operator_image_has_one_kubernetes_client() -> None:
    """kopf imports each client that it knows and that is installed: megabytes of memory."""
    known = {"kubernetes", "kubernetes-asyncio", "pykube-ng", "lightkube", "kr8s"}
    text = (ROOT / "requirements" / "operator.txt").read_text()
    assert known & set(re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)) == {"kubernetes"}
