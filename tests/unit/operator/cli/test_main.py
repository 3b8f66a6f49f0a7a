"""The command line."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tests.support.operator.engine_world import runner
from tradepulse_operator.cli.main import main
from tradepulse_operator.manager import logging as logs


def write(folder: Path, *documents: object) -> str:
    file = folder / "x.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    return str(file)


def test_a_valid_file_is_said_to_be(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["validate", write(tmp_path, runner())])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (runner(release={"image": "r:latest"}), "latest"),
        ([1], "not a mapping"),
        ({"kind": "Pod"}, "kind"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, document: object, says: str) -> None:
    result = CliRunner().invoke(main, ["validate", write(tmp_path, runner(), document)])
    assert result.exit_code == 1
    assert "x.yaml (document 2)" in result.output
    assert says in result.output


def test_broken_yaml_is_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("a: [")
    result = CliRunner().invoke(main, ["validate", str(file)])
    assert result.exit_code == 1
    assert "not valid YAML" in result.output


def test_help_explains_every_option() -> None:
    result = CliRunner().invoke(main, ["run", "--help"])
    for option in ("--namespace", "--default-prometheus", "--workers", "--resync", "--port"):
        assert option in result.output


def test_logs_are_json_and_name_the_object(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        logs.configure()
        with logs.about("TradingRunner/ns/btc"):
            logging.getLogger("x").info("hello", extra={"epoch": 3})
        line = json.loads(capsys.readouterr().err.splitlines()[-1])
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    assert (line["message"], line["object"]) == ("hello", "TradingRunner/ns/btc")
    assert (line["level"], line["epoch"]) == ("INFO", 3)
