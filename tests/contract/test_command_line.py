"""What the operator writes into the pod must be what the runner's command line understands."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tradepulse_operator.api.policy import StateOnRollback
from tradepulse_runner.cli.main import main


@pytest.mark.parametrize("mode", list(StateOnRollback))
def test_every_restore_is_a_mode_of_the_state_container(
    mode: StateOnRollback, tmp_path: Path
) -> None:
    words = ["state", "prepare", "--state-dir", str(tmp_path), "--keep", "5"]
    done = CliRunner().invoke(main, [*words, "--restore", "uid", "--mode", mode.value.lower()])
    assert done.exit_code == 0, done.output
