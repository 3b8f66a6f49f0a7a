"""The readiness report says what is open, who waived what, and which signatures count."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tests.support.operator.cutovers import PHASE, TARGET, cutover, runner, status
from tradepulse_operator.api.checklist import CheckRecord, CheckResult
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.cli.main import main
from tradepulse_operator.incident.readiness import readiness

AT = "2027-01-15T08:00:00Z"
WAIVED = CheckRecord(name="on-call", result=CheckResult.WAIVED, message="a | b", by="ada", at=AT)


def some(*records: CheckRecord, release: str = TARGET.id) -> ReleaseCutover:
    grant = {"role": "risk", "by": "ada", "release": release}
    approvals = {"required": ["risk"], "granted": [grant]}
    found = status(PHASE.AWAITING_APPROVAL, checklist=records)
    return cutover(found, approvals=approvals)


def test_ready() -> None:
    text = readiness(some(WAIVED))
    assert "Ready: every item passed or is waived" in text
    assert "| on-call | Waived | ada | 2027-01-15T08:00:00Z | a \\| b |" in text
    assert "| risk | ada | yes |" in text
    assert TARGET.config_hash in text


@pytest.mark.parametrize("result", [CheckResult.FAIL, CheckResult.PENDING])
def test_what_is_open_is_named(result: CheckResult) -> None:
    text = readiness(some(WAIVED.model_copy(update={"result": result})))
    assert "Not ready." in text
    assert f"- on-call: {result}: a \\| b" in text


def test_a_signature_of_another_release_does_not_count() -> None:
    text = readiness(some(WAIVED, release="0000000000"))
    assert "Not ready." in text
    assert "| risk | ada | no, it is of another release |" in text


def test_the_runner_may_ask_for_more_roles() -> None:
    owner = runner(cutover={"template": {"approvals": {"required": ["platform"]}}})
    assert "| platform | nobody yet | no |" in readiness(some(WAIVED), owner)


def test_the_command_reads_what_kubectl_prints(tmp_path: Path) -> None:
    found = some(WAIVED)
    body = {"kind": "ReleaseCutover", **found.wire()}
    one, many = tmp_path / "one.yaml", tmp_path / "many.yaml"
    one.write_text(yaml.safe_dump(body))
    owner = {"kind": "TradingRunner", **runner().wire()}
    many.write_text(yaml.safe_dump({"kind": "List", "items": [owner, body]}))
    for file in (one, many):
        done = CliRunner().invoke(main, ["readiness", str(file)])
        assert done.exit_code == 0, done.output
        assert done.output == readiness(found)
    one.write_text("{}")
    assert "give exactly one" in CliRunner().invoke(main, ["readiness", str(one)]).output
