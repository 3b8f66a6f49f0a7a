"""Promotion with the runner's own validator, a process: what it says decides."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.operator.environments import before_any_promotion
from tests.support.runner.process import ROOT
from tradepulse_operator.cli.main import main
from tradepulse_operator.cli.promote import Refused, promote, runner_validator
from tradepulse_operator.cli.promotion import ENVIRONMENTS
from tradepulse_operator.common.names import CONFIG_FILE

COMMAND = [sys.executable, "-m", "tradepulse_runner", "config", "check", "--config"]


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    return before_any_promotion(tmp_path / "configs")


def test_what_is_committed_is_promoted_and_good_to_the_runner() -> None:
    for environment in ENVIRONMENTS:
        (said,) = promote(ROOT / "configs" / environment, runner_validator(COMMAND), check=True)
        assert said.startswith(f"{environment}: btc-")


def test_the_runners_own_validator_decides(configs: Path) -> None:
    (configs / "dev" / "btc" / CONFIG_FILE).write_text("guard: {action: shout}\n")
    with pytest.raises(Refused, match=r"guard\.action"):
        promote(configs / "dev", runner_validator(COMMAND))
    assert not (configs / "dev" / "promoted").exists()


def test_a_validator_that_says_nothing_is_no_yes(configs: Path) -> None:
    with pytest.raises(Refused, match=r"gave no answer \(exit code 3\): no idea"):
        promote(
            configs / "dev",
            runner_validator([sys.executable, "-c", "import sys; print('no idea'); sys.exit(3)"]),
        )


def test_the_command_checks_without_writing(configs: Path) -> None:
    dev = str(configs / "dev")
    command = ["promote", "--validator", " ".join(COMMAND), dev]
    missing = CliRunner().invoke(main, [*command, "--check"])
    assert missing.exit_code == 1
    assert "isn't promoted: run make promote" in missing.output
    assert not (configs / "dev" / "promoted").exists()
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert "dev: btc-1.0.0: configuration " in done.output
    again = CliRunner().invoke(main, [*command, "--check"])
    assert again.exit_code == 0, again.output
    elsewhere = CliRunner().invoke(main, ["promote", str(configs)])
    assert "no environment: name one of dev, staging, production" in elsewhere.output
