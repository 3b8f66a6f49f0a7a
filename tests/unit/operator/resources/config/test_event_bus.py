"""The event bus of a runner: as configuration, as mounts, and on the network."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.support.operator.object_stores import mounted
from tests.support.operator.runners import PAPER, intent_of, runner
from tradepulse_operator.api.meta import Condition, ConditionStatus
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.api.spec.event_bus import Stream
from tradepulse_operator.clients.runner_status import view
from tradepulse_operator.controllers.conditions import find_condition
from tradepulse_operator.controllers.observed.views import RunnerObserved
from tradepulse_operator.controllers.runner.conditions import conditions
from tradepulse_operator.controllers.runner.context import RunnerContext
from tradepulse_operator.resources.config.release import render_release
from tradepulse_operator.resources.runner.network_policy import network_policy
from tradepulse_operator.resources.runner.pod_spec import pod_spec
from tradepulse_runner.config.bus import EventBusConfig
from tradepulse_runner.config.bus import Stream as Told
from tradepulse_runner.config.runner import RunnerConfig

BUS: dict[str, Any] = {
    "bootstrapServers": ["kafka-0.example.com:9093", "kafka-1.example.com:9094"],
    "securityProtocol": "SSL",
    "tlsSecret": "kafka-tls",
}
PASSWORD = {
    "securityProtocol": "SASL_SSL",
    "saslMechanism": "SCRAM-SHA-512",
    "saslSecret": "kafka-user",
}


def telling(**changes: Any) -> TradingRunner:
    return runner(eventBus=BUS | changes)


def understood(owner: TradingRunner) -> EventBusConfig:
    text = render_release(owner, owner.spec.release, None).text
    found = RunnerConfig.model_validate(yaml.safe_load(text)).event_bus
    assert found is not None
    return found


def test_the_process_understands_what_is_rendered() -> None:
    owner = telling(publish=["execution.orders"], outboxMebibytes=3, topicPrefix="desk")
    found = understood(owner)
    assert found.bootstrap_servers == BUS["bootstrapServers"]
    assert found.outbox_max_bytes == 3 << 20
    assert [found.topic(each) for each in found.publish] == ["desk.execution.orders"]
    assert found.ssl_certfile is not None
    assert found.ssl_keyfile is not None
    folders = {str(p.parent) for p in (found.ssl_cafile, found.ssl_certfile, found.ssl_keyfile)}
    assert {mounted(owner)[folder] for folder in folders} == {"kafka-tls"}


def test_readers_are_rendered_where_there_are_any_and_make_no_new_release_elsewhere() -> None:
    assert understood(telling(readers=["settlement", "risk.desk"])).readers == [
        "settlement",
        "risk.desk",
    ]
    before = render_release(telling(), telling().spec.release, None).text
    assert "readers" not in before
    assert render_release(telling(readers=[]), telling().spec.release, None).text == before


def test_a_password_is_a_mounted_file_as_well() -> None:
    owner = telling(**PASSWORD)
    found = understood(owner)
    assert (found.sasl_mechanism, found.ssl_certfile) == ("SCRAM-SHA-512", None)
    assert mounted(owner)[str(found.sasl_credentials_dir)] == "kafka-user"


def test_operator_and_runner_name_the_same_streams() -> None:
    assert {each.value for each in Stream} == {each.value for each in Told}
    assert understood(telling()).publish == frozenset(Told)


def test_without_one_nothing_changes() -> None:
    text = render_release(runner(), runner().spec.release, None).text
    assert "event_bus" not in yaml.safe_load(text)
    assert mounted(runner()) == {}


def test_the_secrets_are_those_of_the_release_and_a_missing_one_holds_up_nothing() -> None:
    before = telling(**PASSWORD)
    assert set(mounted(runner(venues=[PAPER]), before).values()) == {"kafka-tls", "kafka-user"}
    volumes = pod_spec(before, intent_of(before))["volumes"]
    assert all(v["secret"]["optional"] for v in volumes if "secret" in v)


def test_the_brokers_ports_are_let_out() -> None:
    (_, out) = network_policy(telling())["spec"]["egress"]
    assert [each["port"] for each in out["ports"]] == [443, 6443, 9093, 9094]


def said(owner: TradingRunner, told: dict[str, Any] | None) -> Condition | None:
    process = view({"state": "TRADING", **({"bus": told} if told else {})})
    seen = RunnerObserved(owner, now=1.0, process=process)
    return find_condition(conditions(RunnerContext(seen)), "EventsPublished")


@pytest.mark.parametrize(
    ("told", "status", "reason"),
    [
        (None, ConditionStatus.UNKNOWN, "StatusUnavailable"),
        ({"problem": "", "pending": 3}, ConditionStatus.TRUE, "Published"),
        ({"problem": "no answer", "pending": 3}, ConditionStatus.FALSE, "Behind"),
    ],
)
def test_what_the_process_says_of_it_is_a_condition(
    told: dict[str, Any] | None, status: ConditionStatus, reason: str
) -> None:
    found = said(telling(), told)
    assert found is not None
    assert (found.status, found.reason) == (status, reason)


def test_a_runner_without_one_has_no_such_condition() -> None:
    assert said(runner(), None) is None
