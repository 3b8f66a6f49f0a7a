"""Bad releases: each defect, at each venue, and that nobody has one who did not ask for it."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.support.runner.credentials_fixtures import finish, swapped
from tests.support.runner.runner_fixtures import SYMBOL, market, paper, until
from tests.support.runner.venues.venue_fixtures import VENUE_FIXTURES, VenueFixture
from tradepulse_demo import cli
from tradepulse_demo.defects import (
    KINDS,
    Defect,
    HistoryScan,
    ReusedNonce,
    SelfDeadlock,
    load_defect,
)
from tradepulse_runner.cli.main import main as runner
from tradepulse_runner.config.runner import VenueConfig
from tradepulse_runner.credentials.store import CredentialStore
from tradepulse_runner.domain import Order, OrderType, Side
from tradepulse_runner.errors import ConfigError, OrderRejected
from tradepulse_runner.venues.base import ExecutionConnector

Build = Callable[..., ExecutionConnector]
TYPES = {"errors": ReusedNonce, "latency": HistoryScan, "freeze": SelfDeadlock}


@asynccontextmanager
async def at_paper(folder: Path) -> AsyncIterator[tuple[Build, VenueConfig, None]]:
    options = {"seed": 3, "tick_interval": 0.02, "latency": 0}
    venue = VenueConfig(name="v", connector="paper", symbols=[SYMBOL], options=options)
    yield Defect(kind="errors", after=3).build_connector, venue, None


def at(place: Callable[[], AbstractAsyncContextManager[VenueFixture]]) -> Any:
    @asynccontextmanager
    async def opened(folder: Path) -> AsyncIterator[tuple[Build, VenueConfig, CredentialStore]]:
        async with place() as made:
            made.accept(1)
            finish(swapped(folder / "mount", made.pair(1), made.names))
            store = CredentialStore.open(made.connector, folder / "mount", {})
            venue = VenueConfig(
                name="v", connector=made.connector, symbols=[made.symbol], options=made.options
            )
            yield Defect(kind="errors", after=3).build_connector, venue, store

    return opened


VENUES = {"paper": at_paper, **{name: at(place) for name, place in VENUE_FIXTURES.items()}}


@pytest.mark.parametrize("name", sorted(VENUES))
async def test_the_errors_defect_refuses_two_orders_of_three_at_each_venue(
    tmp_path: Path, name: str
) -> None:
    async with VENUES[name](tmp_path) as (build, venue, store):
        connector = build(venue, tmp_path, store, source="test", clock=time.time)
        assert isinstance(connector, ReusedNonce)
        await connector.connect()
        symbol = venue.symbols[0]
        await until(lambda: connector.quote(symbol) is not None)
        answers = [await _places(connector, symbol, f"id-{number}") for number in range(12)]
        await connector.disconnect()
    assert answers[:3] == [True] * 3
    assert answers[5:11] == [True, False, False] * 2


async def _places(connector: ExecutionConnector, symbol: str, client_id: str) -> bool:
    order = Order(symbol, Side.BUY, Decimal("0.001"), OrderType.MARKET, algo="test")
    try:
        await connector.place_order(order, client_id)
    except OrderRejected as refused:
        assert "was used before" in str(refused)  # noqa: PT017
        return False
    return True


async def test_the_latency_defect_passes_half_a_second_after_the_orders_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    connector = Defect(kind="latency", after=8).wrap(paper(tmp_path))
    await connector.connect()

    async def no_sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("tradepulse_demo.defects.asyncio.sleep", no_sleep)
    taken = []
    for number in range(12):
        slept.clear()
        await connector.place_order(market(quantity="0.001"), f"id-{number}")
        taken.append(sum(slept))
    assert taken == sorted(taken)
    assert taken[6] < 0.5 <= taken[7]
    await connector.disconnect()


async def test_a_permit_that_ends_while_the_defect_takes_its_time_stops_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[str] = []

    async def loses_the_lease(_seconds: float) -> None:
        lost.append("the lease is another's")

    monkeypatch.setattr("tradepulse_demo.defects.asyncio.sleep", loses_the_lease)
    async with at_paper(tmp_path) as (_, venue, _store):
        connector = Defect(kind="latency", after=0).build_connector(
            venue, tmp_path, source="test", clock=time.time, permit=lambda: "".join(lost[:1])
        )
        with pytest.raises(OrderRejected, match="the lease is another's"):
            await connector.place_order(market(), "id")


def loaded(folder: Path, text: str) -> Defect:
    file = folder / "defect.json"
    file.write_text(text)
    return load_defect({"TRADEPULSE_DEFECT_FILE": str(file)})


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_names_its_defect(tmp_path: Path, kind: str) -> None:
    defect = loaded(tmp_path, json.dumps({"kind": kind, "after": 6}))
    assert (defect.kind, defect.after) == (kind, 6)
    assert type(defect.wrap(paper(tmp_path))) is TYPES[kind]
    assert loaded(tmp_path, json.dumps({"kind": kind})).after > 6


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"kind": "luck"}', r"defect\.json: kind: .*'luck'"),
        ('{"kind": "errors", "after": -1}', r"defect\.json: after: .*-1"),
        ("{}", r"defect\.json: kind: missing"),
        ('{"kind": null}', r"defect\.json: kind"),
        ("[]", r"defect\.json: must be a JSON object"),
        ("", r"TRADEPULSE_DEFECT_FILE: .*defect\.json' cannot be read as JSON"),
    ],
)
def test_a_defect_that_is_not_known_is_refused(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        loaded(tmp_path, text)


def test_a_bad_release_has_every_command_of_a_good_one() -> None:
    assert cli.main.commands.keys() == runner.commands.keys()
    for name, command in cli.main.commands.items():
        assert (command is runner.commands[name]) == (name != "run")
        assert command.params == runner.commands[name].params


def test_a_bad_release_without_a_defect_does_not_trade() -> None:
    found = CliRunner(env={"TRADEPULSE_DEFECT_FILE": None}).invoke(
        cli.main, ["run", "--config", "configs/paper.yaml"]
    )
    assert found.exit_code == ConfigError.exit_code
    assert "TRADEPULSE_DEFECT_FILE" in found.output
