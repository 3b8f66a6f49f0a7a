"""The admin surface of a runner: as configuration, as mounts and variables, and on the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.operator.runners import PAPER, intent_of, runner
from tests.support.schema.mutations import samples
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.meta import Condition, ConditionStatus
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.api.spec.admin import Client, Scope
from tradepulse_operator.clients.runner_status import view
from tradepulse_operator.common.names import ADMIN_PORT
from tradepulse_operator.controllers.conditions import find_condition
from tradepulse_operator.controllers.observed.views import ProcessView, RunnerObserved
from tradepulse_operator.controllers.runner.conditions import conditions
from tradepulse_operator.controllers.runner.context import RunnerContext
from tradepulse_operator.resources.auxiliary.check import check_pod
from tradepulse_operator.resources.config.release import render_release
from tradepulse_operator.resources.runner.network_policy import network_policy
from tradepulse_operator.resources.runner.pod_spec import pod_spec
from tradepulse_operator.resources.runner.service import service
from tradepulse_runner.config import admin as process
from tradepulse_runner.config.runner import RunnerConfig

ADMIN: dict[str, Any] = samples()["tradingrunner-full"]["spec"]["admin"]


def administered(**changes: Any) -> TradingRunner:
    merged = {k: v for k, v in {**ADMIN, **changes}.items() if v is not None}
    return runner(admin=merged)


def mounted(owner: TradingRunner, release_of: TradingRunner | None = None) -> dict[str, str]:
    """Secret by the folder it is mounted at."""
    spec = pod_spec(owner, intent_of(release_of or owner))
    names = {v["name"]: v["secret"]["secretName"] for v in spec["volumes"] if "secret" in v}
    (container,) = spec["containers"]
    return {
        m["mountPath"]: names[m["name"]] for m in container["volumeMounts"] if m["name"] in names
    }


def variables(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


def test_the_process_understands_what_is_rendered_and_finds_the_secrets_there() -> None:
    owner = administered()
    text = render_release(owner, owner.spec.release, None).text
    found = RunnerConfig.model_validate(yaml.safe_load(text)).admin
    assert found is not None
    assert (found.host, found.port) == ("0.0.0.0", ADMIN_PORT)
    assert found.tls is not None
    assert found.oauth is not None
    assert found.mtls is not None
    assert found.siem is not None
    assert found.siem.ca_file is not None
    assert found.oauth.name_claim == "email"
    assert found.siem.scope == "audit.write"
    (container,) = pod_spec(owner, intent_of(owner))["containers"]
    named = variables(container)
    audit = Path(named["TRADEPULSE_AUDIT_SECRET_PATH"])
    siem = Path(named["TRADEPULSE_SIEM_CLIENT_SECRET_PATH"])
    assert {audit.name, siem.name} == {"secret"}
    assert mounted(owner) == {
        str(found.tls.certificate.parent): "btc-arbitrage-tls",
        str(found.oauth.jwks.parent): "login-keys",
        str(found.mtls.client_ca.parent): "desk-ca",
        str(found.siem.ca_file.parent): "siem-ca",
        str(audit.parent): "btc-arbitrage-audit",
        str(siem.parent): "siem-client",
    }
    assert named["TRADEPULSE_SECRET_REFRESH_INTERVAL_SECONDS"] == "60"
    assert {"name": "admin", "containerPort": ADMIN_PORT, "protocol": "TCP"} in container["ports"]


@pytest.mark.parametrize("without", ["oauth", "mtls", "siem"])
def test_what_is_left_out_is_neither_rendered_nor_mounted(without: str) -> None:
    owner = administered(**{without: None})
    text = render_release(owner, owner.spec.release, None).text
    found = RunnerConfig.model_validate(yaml.safe_load(text)).admin
    assert getattr(found, without) is None
    assert len(mounted(owner)) == (5 if without != "siem" else 4)


def test_without_it_nothing_changes() -> None:
    owner = runner()
    text = render_release(owner, owner.spec.release, None).text
    assert "admin" not in yaml.safe_load(text)
    assert mounted(owner) == {}
    assert "TRADEPULSE" not in "".join(variables_but_the_hash(owner))
    assert [port["name"] for port in service(owner)["spec"]["ports"]] == ["http", "metrics"]
    assert len(network_policy(owner)["spec"]["ingress"]) == 2


def variables_but_the_hash(owner: TradingRunner) -> set[str]:
    (container,) = pod_spec(owner, intent_of(owner))["containers"]
    return set(variables(container)) - {"TRADEPULSE_CONFIG_HASH"}


def test_a_rollback_finds_the_secrets_and_variables_of_its_own_release() -> None:
    bare, owner = runner(venues=[PAPER]), administered()
    assert mounted(bare, owner) == mounted(owner)
    (back,) = pod_spec(bare, intent_of(owner))["containers"]
    assert "TRADEPULSE_AUDIT_SECRET_PATH" in variables(back)
    (forth,) = pod_spec(owner, intent_of(bare))["containers"]
    assert set(variables(forth)) == {"TRADEPULSE_CONFIG_HASH"}
    assert [port["name"] for port in forth["ports"]] == ["http", "metrics"]


def test_the_check_pod_looks_at_the_same_files() -> None:
    owner = administered()
    cutover = ReleaseCutover.model_validate(
        {"metadata": {"name": "c", "namespace": "trading", "uid": "u"}, "spec": {"runner": "demo"}}
    )
    pod = check_pod(cutover, owner, intent_of(owner).release)
    (container,) = pod["spec"]["containers"]
    named = variables(container)
    folders = named["TRADEPULSE_SECRETS"].split(":")
    assert sorted(folders) == sorted(mounted(owner))
    assert Path(named["TRADEPULSE_AUDIT_SECRET_PATH"]).parent.as_posix() in folders
    assert Path(named["TRADEPULSE_SIEM_CLIENT_SECRET_PATH"]).parent.as_posix() in folders


def let_in(owner: TradingRunner) -> list[dict[str, Any]]:
    rules = network_policy(owner)["spec"]["ingress"]
    return [r for r in rules if any(p["port"] == ADMIN_PORT for p in r["ports"])]


def test_only_declared_peers_are_let_in() -> None:
    (one,) = let_in(administered())
    assert one["from"] == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "desk"}},
            "podSelector": {"matchLabels": {"app": "console"}},
        },
        {"ipBlock": {"cidr": "192.0.2.0/24"}},
    ]
    (own,) = let_in(administered(allowFrom=[{"podLabels": {"app": "console"}}]))
    assert own["from"] == [{"podSelector": {"matchLabels": {"app": "console"}}}]
    # A rule without peers would let everybody in.
    assert let_in(administered(allowFrom=[])) == []
    ports = {port["name"]: port["port"] for port in service(administered())["spec"]["ports"]}
    assert ports["admin"] == ADMIN_PORT


def test_the_siems_ports_are_let_out() -> None:
    (_, out) = network_policy(administered())["spec"]["egress"]
    assert {rule["port"] for rule in out["ports"]} == {443, 6443, 8088}


@pytest.mark.parametrize(
    "subject",
    [
        "CN=ada",
        "CN=ada,O=desk",
        "CN=ada+UID=7,O=Müller \\, Söhne",
        "2.5.4.3=ada",
        "CN=\\#a\\=b",
        "CN=' OR 1",
    ],
)
def test_a_subject_that_is_accepted_is_understood(subject: str) -> None:
    found = Client.model_validate({"subject": subject, "scopes": ["state:read"]})
    process.ClientConfig.model_validate({"subject": found.subject, "scopes": ["state:read"]})


def test_both_sides_know_the_same_scopes() -> None:
    assert [scope.value for scope in Scope] == [scope.value for scope in process.Scope]


def said(owner: TradingRunner, word: ProcessView | None) -> Condition | None:
    seen = RunnerObserved(owner, now=1.0, process=word)
    return find_condition(conditions(RunnerContext(seen)), "AuditForwarded")


@pytest.mark.parametrize(
    ("told", "status", "reason"),
    [
        (None, ConditionStatus.UNKNOWN, "StatusUnavailable"),
        ({"pending": 0, "problem": ""}, ConditionStatus.TRUE, "Forwarded"),
        ({"pending": 3, "problem": ""}, ConditionStatus.TRUE, "Forwarded"),
        ({"pending": 3, "problem": "answered 500"}, ConditionStatus.FALSE, "Behind"),
    ],
)
def test_what_the_process_says_of_the_siem_is_a_condition(
    told: dict[str, Any] | None, status: ConditionStatus, reason: str
) -> None:
    word = view({"state": "TRADING", **({"siem": told} if told else {})})
    found = said(administered(), word)
    assert found is not None
    assert (found.status, found.reason) == (status, reason)
    assert said(administered(siem=None), word) is None
