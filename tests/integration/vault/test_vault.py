"""Keys out of a real OpenBao by its real agent, rotated while a runner trades at a venue.

Binance's protocol is the venue's; it is asked in the end which orders it has seen.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cluster.progress import Progress
from tests.support.e2e.venue_relay import ACCOUNT, KINDS, Beside, Credential, beside
from tests.support.runner.process import ROOT, RunnerProcess, eventually
from tests.support.services.openbao.agent import Agent
from tests.support.services.openbao.server import MOUNT, OpenBao, Refused
from tests.support.venues.binance import BinanceVenue

SECURITY = ROOT / "docs" / "security.md"
VENUE, PATH, ROLE = "spot", "venues/spot", "runner-spot"
#: Limits that a runner under load doesn't reach: keys are the subject.
BINANCE = replace(
    KINDS[0],
    venue=lambda: BinanceVenue(interval=0.2, order_limit=100_000, weight_limit=1_000_000),
)


@dataclass
class VaultWorld:
    """What trades, where, and who hands it its keys. ``used``: the key pair that counts now."""

    bao: OpenBao
    agent: Agent
    venue: Beside
    runner: RunnerProcess
    used: Credential
    known: list[Credential] = field(default_factory=list)

    def new_key(self) -> Credential:
        """One that the venue accepts from now on, beside those before."""
        made = BINANCE.credential(f"number-{len(self.known)}")
        self.known.append(made)
        self.venue.add(made)
        return made

    def put(self, found: Credential) -> None:
        self.bao.put(PATH, {"key": found.key, "secret": found.secret})

    def taken(self, found: Credential, after: int) -> None:
        """Wait until the runner signs with ``found``, as the next generation; then the old one is
        revoked, and it goes on."""
        eventually(lambda: self.generation == after + 1, what="the new key")
        old, self.used = self.used, found
        self.venue.revoke(old)
        self.trades()

    def rotate(self) -> None:
        before, found = self.generation, self.new_key()
        self.put(found)
        self.taken(found, before)

    @property
    def generation(self) -> int:
        return int(self.metric("generation"))

    def metric(self, name: str) -> float:
        return self.runner.metrics()[f'tradepulse_credentials_{name}{{venue="{VENUE}"}}']

    def trades(self, orders: int = 15) -> None:
        """Until the venue accepted so many more."""
        goal = self.accepted() + orders
        eventually(lambda: self.accepted() >= goal, what=f"{orders} orders more")
        assert not self.runner.status()["kill_switch"]["engaged"]

    def accepted(self) -> int:
        """Orders that the venue has."""
        return self.venue.do(lambda it: len(it.exchange.orders(ACCOUNT)))

    def settle(self) -> None:
        """Halt it, and compare order by order what it knows with what the venue has seen."""
        assert self.runner.runs == 1, "it was started again"
        self.runner.halt(f"t{len(self.known)}")
        orders = self.venue.orders()
        theirs = {order["client_id"]: order for order in orders}
        times = Counter(order["client_id"] for order in orders)
        assert set(times.values()) == {1}, "doubled"
        book = self.book()
        assert theirs.keys() <= book.keys(), "the venue has orders that the runner lost"
        never = {status for name, (status, _) in book.items() if name not in theirs}
        assert never <= {"expired", "rejected"}, "orders that the venue never saw"
        for name, order in theirs.items():
            assert book[name][1] == Decimal(order["filled"]), name
        self.runner.command("trading", "")

    def book(self) -> dict[str, tuple[str, Decimal]]:
        text = (self.runner.state_dir / f"{VENUE}_oms.json").read_text()
        orders = json.loads(text)["payload"]["state"]["orders"]
        return {each["id"]: (each["status"], Decimal(each["filled"])) for each in orders}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultWorld]:
    folder, bao = tmp_path_factory.mktemp("vault"), OpenBao()
    with beside(BINANCE, cluster=False) as at:
        with Progress().step("OpenBao") as step:
            bao.install(step)
        bao.start(folder / "openbao")
        agent = Agent(bao, bao.let_read(ROLE, PATH), PATH, folder / "secrets")
        runner = RunnerProcess(folder / "runner", **config(at, agent.folder))
        try:
            first = BINANCE.credential("first")
            at.add(first)
            found = VaultWorld(bao, agent, at, runner, first, [first])
            found.put(first)
            agent.start()
            agent.wait()
            runner.start()
            found.trades()
            yield found
        finally:
            runner.close()
            agent.stop()
            bao.stop()


def config(venue: Beside, secrets: Path) -> dict[str, Any]:
    spot = {
        "name": VENUE,
        "connector": "binance",
        "symbols": [BINANCE.symbol],
        "credentials_dir": str(secrets),
        "options": venue.options,
    }
    loop = {"heartbeat_interval": 0.1, "fill_poll_interval": 0.2, "credential_interval": 0.2}
    strategy = {"name": "momentum", "parameters": {"orders_per_second": 30}}
    return {"venues": [spot], "loop": loop, "strategy": strategy}


def test_a_key_that_is_rotated_under_load_costs_no_order(world: VaultWorld) -> None:
    """The old one is revoked last, when the runner has taken the new one."""
    for _ in range(3):
        world.rotate()
    world.settle()


def test_sealed_or_stopped_it_goes_on_with_the_key_it_has(world: VaultWorld) -> None:
    before = world.generation
    world.bao.seal()
    with pytest.raises(Refused):
        world.bao.ask("GET", f"{MOUNT}/data/{PATH}")
    world.trades()
    world.bao.stop()
    world.trades()
    assert (world.generation, world.metric("stale")) == (before, 0)
    world.bao.start(world.bao.log.parent)
    world.rotate()
    world.settle()


def test_an_agent_that_was_dead_meanwhile_brings_the_newest_key(world: VaultWorld) -> None:
    before = world.generation
    world.agent.kill()
    world.put(world.new_key())
    newest = world.new_key()
    world.put(newest)
    world.trades()
    assert world.generation == before
    world.agent.start()
    world.taken(newest, before)
    world.settle()


def test_half_a_pair_or_an_empty_one_is_refused_and_reported(world: VaultWorld) -> None:
    before, failures, half = (
        world.generation,
        world.metric("reload_failures_total"),
        world.new_key(),
    )
    world.bao.put(PATH, {"key": half.key})
    eventually(
        lambda: "map has no entry for key" in world.agent.log.read_text(), what="its refusal"
    )
    world.trades()
    assert world.metric("reload_failures_total") == failures, "the agent wrote half a pair"
    world.bao.put(PATH, {"key": half.key, "secret": ""})
    eventually(lambda: world.metric("reload_failures_total") == failures + 1, what="the metric")
    assert "BINANCE_API_SECRET" in world.runner.logged("credentials.unusable")[-1]["why"]
    world.trades()
    assert world.generation == before
    world.rotate()
    assert world.runner.logged("credentials.usable")
    world.settle()


def test_the_rules_for_unusual_access_find_it_in_a_real_audit_log(world: VaultWorld) -> None:
    """The agent's own reads are none; the rules are those of docs/security.md."""
    bao, token = world.bao, world.bao.log_in(world.agent.login)
    assert bao.ask("GET", f"{MOUNT}/data/{PATH}", token=token)["data"]["data"]["secret"]
    for method, path, body in (
        ("GET", "venues/another", None),
        ("POST", PATH, {"data": {"key": "x"}}),
    ):
        with pytest.raises(Refused, match="permission denied"):
            bao.ask(method, f"{MOUNT}/data/{path}", body, token=token)
    before = found(bao.audited())
    mark = len(bao.audited())
    bao.ask("GET", f"{MOUNT}/data/{PATH}")  # as root
    world.rotate()
    bao.ask("PUT", "sys/policies/acl/another", {"policy": 'path "x" {}'})
    grew = found(bao.audited()[mark:])
    read, changed, policy = (
        grew[name] for name in ("VenueKeyRead", "VenueKeyChanged", "VaultGuardsChanged")
    )
    assert [each["auth_display_name"] for each in (*read, *changed, *policy)] == ["root"] * 3
    assert {each["request_path"] for each in (*read, *changed)} == {f"{MOUNT}/data/{PATH}"}
    assert not grew["VaultRefuses"]
    refused = [each["request_operation"] for each in before["VaultRefuses"]]
    assert refused[-2:] == ["read", "update"]


def rules() -> dict[str, str]:
    """Example rules for Vault's audit log: expression by name."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", SECURITY.read_text(), re.DOTALL | re.MULTILINE)
    loaded = [yaml.safe_load(block) for block in blocks]
    groups = [group for block in loaded if "groups" in block for group in block["groups"]]
    (own,) = (group for group in groups if group["name"] == "tradepulse-vault")
    return {rule["alert"]: rule["expr"] for rule in own["rules"]}


def found(records: list[dict[str, Any]]) -> dict[str, list[dict[str, str]]]:
    """By rule: lines of the audit log that its filters let through, as Loki reads them."""
    lines = [flat(record) for record in records]
    made: dict[str, list[dict[str, str]]] = {}
    for name, rule in rules().items():
        filters = re.findall(r'\| (\w+)(=~|!~|!=|=)"([^"]*)"', rule)
        assert filters
        made[name] = [
            line for line in lines if all(fits(line.get(n, ""), how, v) for n, how, v in filters)
        ]
    return made


def fits(value: str, how: str, wanted: str) -> bool:
    same = value == wanted if how in ("=", "!=") else bool(re.fullmatch(wanted, value))
    return same is not how.startswith("!")


def flat(record: dict[str, Any], before: str = "") -> dict[str, str]:
    """As `| json` names what is nested."""
    made: dict[str, str] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            made |= flat(value, f"{before}{name}_")
        else:
            made[f"{before}{name}"] = str(value)
    return made


def test_no_secret_is_in_any_log_or_answer(world: VaultWorld) -> None:
    world.rotate()
    status, metrics = (world.runner.get(path, port=port)[1] for path, port in SHOWN)
    logs = [world.runner.log, world.agent.log, world.bao.log, world.bao.audit_log]
    shown = "".join([status, metrics, *(path.read_text() for path in logs)])
    assert world.runner.logged("credentials.replaced")
    for credential in world.known:
        assert credential.secret not in shown
        assert credential.key not in shown


SHOWN = (("/status", 0), ("/metrics", 1))
