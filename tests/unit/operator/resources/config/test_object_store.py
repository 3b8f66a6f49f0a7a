"""The object store of a runner: as configuration, as mounts, and on the network."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.support.operator.object_stores import STORE, mounted
from tests.support.operator.runners import PAPER, intent_of, runner
from tradepulse_operator.api.meta import Condition, ConditionStatus
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.clients.runner_status import view
from tradepulse_operator.controllers.conditions import find_condition
from tradepulse_operator.controllers.observed.views import ProcessView, RunnerObserved
from tradepulse_operator.controllers.runner.conditions import conditions
from tradepulse_operator.controllers.runner.context import RunnerContext
from tradepulse_operator.resources.config.release import render_release
from tradepulse_operator.resources.runner.network_policy import network_policy
from tradepulse_operator.resources.runner.pod_spec import pod_spec
from tradepulse_runner.config.runner import RunnerConfig


def stored(**changes: Any) -> TradingRunner:
    return runner(state={"backups": {"objectStore": STORE | changes}})


def test_the_process_understands_what_is_rendered() -> None:
    owner = stored()
    text = render_release(owner, owner.spec.release, None).text
    found = RunnerConfig.model_validate(yaml.safe_load(text)).object_store
    assert found is not None
    assert (found.endpoint, found.bucket, found.prefix) == (STORE["endpoint"], "backups", "desk")
    mounts = mounted(owner)
    assert mounts[str(found.credentials_dir)] == "backup-key"
    assert found.ca_file is not None
    assert mounts[str(found.ca_file.parent)] == "backup-ca"


def test_without_one_nothing_changes() -> None:
    text = render_release(runner(), runner().spec.release, None).text
    assert "object_store" not in yaml.safe_load(text)
    assert mounted(runner()) == {}


def test_the_secrets_are_those_of_the_release_and_a_missing_one_holds_up_nothing() -> None:
    assert set(mounted(runner(venues=[PAPER]), stored()).values()) == {"backup-key", "backup-ca"}
    volumes = pod_spec(stored(), intent_of(stored()))["volumes"]
    assert all(v["secret"]["optional"] for v in volumes if "secret" in v)


@pytest.mark.parametrize(
    ("endpoint", "ports"),
    [("https://s3.example.com", {443, 6443}), ("https://s3.example.com:7070", {443, 6443, 7070})],
)
def test_its_port_is_let_out(endpoint: str, ports: set[int]) -> None:
    (_, out) = network_policy(stored(endpoint=endpoint))["spec"]["egress"]
    assert {rule["port"] for rule in out["ports"]} == ports


def said(owner: TradingRunner, process: ProcessView | None) -> Condition | None:
    seen = RunnerObserved(owner, now=1.0, process=process)
    return find_condition(conditions(RunnerContext(seen)), "BackupsStored")


@pytest.mark.parametrize(
    ("told", "status", "reason"),
    [
        (None, ConditionStatus.UNKNOWN, "StatusUnavailable"),
        ({"pending": 0, "problem": ""}, ConditionStatus.TRUE, "Stored"),
        ({"pending": 2, "problem": "gives no answer"}, ConditionStatus.FALSE, "Behind"),
        ({"pending": 2, "problem": ""}, ConditionStatus.FALSE, "Behind"),
    ],
)
def test_what_the_process_says_of_it_is_a_condition(
    told: dict[str, Any] | None, status: ConditionStatus, reason: str
) -> None:
    process = view({"state": "TRADING", **({"object_store": told} if told else {})})
    found = said(stored(), process)
    assert found is not None
    assert (found.status, found.reason) == (status, reason)


def test_a_runner_without_one_has_no_such_condition() -> None:
    assert said(runner(), view({"state": "TRADING"})) is None
