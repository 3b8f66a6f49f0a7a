"""The database of a runner: as configuration, as mounts, and on the network."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.support.operator.object_stores import STORE, mounted
from tests.support.operator.runners import runner
from tradepulse_operator.api.meta import Condition, ConditionStatus
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.clients.runner_status import view
from tradepulse_operator.controllers.conditions import find_condition
from tradepulse_operator.controllers.observed.views import RunnerObserved
from tradepulse_operator.controllers.runner.conditions import conditions
from tradepulse_operator.controllers.runner.context import RunnerContext
from tradepulse_operator.resources.config.release import render_release
from tradepulse_operator.resources.runner.network_policy import network_policy
from tradepulse_runner.config.runner import RunnerConfig

DATABASE = {
    "hosts": ["db-0.databases.svc:5432", "db-1.databases.svc:5433"],
    "user": "market_making",
    "tlsSecret": "database-client",
}


def said(owner: TradingRunner, told: dict[str, Any] | None) -> Condition | None:
    process = view({"state": "TRADING", **({"database": told} if told else {})})
    seen = RunnerObserved(owner, now=1.0, process=process)
    return find_condition(conditions(RunnerContext(seen)), "AuditStored")


def with_database(**changes: Any) -> TradingRunner:
    return runner(database=DATABASE | changes)


def test_the_process_understands_what_is_rendered() -> None:
    owner = with_database()
    text = render_release(owner, owner.spec.release, None).text
    found = RunnerConfig.model_validate(yaml.safe_load(text)).database
    assert found is not None
    assert found.addresses == [("db-0.databases.svc", 5432), ("db-1.databases.svc", 5433)]
    assert (found.name, found.user, found.ssl_mode) == (
        "tradepulse",
        "market_making",
        "verify-full",
    )
    files = {found.ca_file.name, found.cert_file.name, found.key_file.name}
    assert files == {"ca.crt", "tls.crt", "tls.key"}
    (folder,) = {path.parent for path in (found.ca_file, found.cert_file, found.key_file)}
    assert mounted(owner)[str(folder)] == "database-client"


def test_without_one_nothing_changes() -> None:
    text = render_release(runner(), runner().spec.release, None).text
    assert "database" not in yaml.safe_load(text)
    assert mounted(runner()) == {}


def test_its_secret_is_mounted_next_to_that_of_the_object_store() -> None:
    both = runner(database=DATABASE, state={"backups": {"objectStore": STORE}})
    assert set(mounted(both).values()) == {"database-client", "backup-key", "backup-ca"}


@pytest.mark.parametrize(
    ("hosts", "ports"),
    [
        (["db:5432", "other:5432"], [443, 6443, 5432]),
        (["db:443", "[2001:db8::1]:6432"], [443, 6443, 6432]),
    ],
)
def test_its_ports_are_let_out(hosts: list[str], ports: list[int]) -> None:
    (_, out) = network_policy(with_database(hosts=hosts))["spec"]["egress"]
    assert [rule["port"] for rule in out["ports"]] == ports


def test_an_ipv6_address_is_one_for_the_process_too() -> None:
    owner = with_database(hosts=["[2001:db8::1]:6432"])
    text = render_release(owner, owner.spec.release, None).text
    found = RunnerConfig.model_validate(yaml.safe_load(text)).database
    assert found is not None
    assert found.addresses == [("2001:db8::1", 6432)]


@pytest.mark.parametrize(
    ("told", "status", "reason"),
    [
        (None, ConditionStatus.UNKNOWN, "StatusUnavailable"),
        ({"connected": True, "problem": "", "spool": 3}, ConditionStatus.TRUE, "Stored"),
        ({"connected": False, "problem": "gives no answer"}, ConditionStatus.FALSE, "Behind"),
    ],
)
def test_what_the_process_says_of_it_is_a_condition(
    told: dict[str, Any] | None, status: ConditionStatus, reason: str
) -> None:
    found = said(with_database(), told)
    assert found is not None
    assert (found.status, found.reason) == (status, reason)


def test_a_runner_without_one_has_no_such_condition() -> None:
    assert said(runner(), None) is None
