"""Protocol 0: what operators hand to a runner's image and what the image answers, as it was when it
was frozen. The files under tests/contract/v0 were written by that release and never change; what
may grow, and how, is in docs/decisions/0033-protocol-0.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from tests.contract.render import UID, rendered
from tests.support.operator.runner_world import RunnerWorld
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.clients.runner_status import view
from tradepulse_operator.controllers.checklist.checks import answer
from tradepulse_operator.controllers.observed.termination import Result, statement
from tradepulse_operator.controllers.observed.views import AuxiliaryPodView, PodView, ProcessView
from tradepulse_operator.controllers.runner.conditions import trades
from tradepulse_operator.controllers.runner.context import build_context
from tradepulse_operator.controllers.step import Apply, Delete
from tradepulse_operator.resources.auxiliary.drill import read
from tradepulse_runner.cli.main import main
from tradepulse_runner.config.runner import load_config
from tradepulse_runner.config_check import check
from tradepulse_runner.state.directory import Mode, Preparation, prepare

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
V0 = ROOT / "tests" / "contract" / "v0"


def golden(name: str) -> Any:
    return json.loads((V0 / name).read_text())


RUNNERS = {path.stem: golden(f"runners/{path.name}") for path in (V0 / "runners").iterdir()}
WORDS = golden("words.json")
#: Lists to which an operator may add: an image takes no notice of what it doesn't know there.
GROW = {"env": "name", "volumeMounts": "mountPath", "volumes": "name", "ports": "name"}


def shrunk(frozen: Any, now: Any, at: str = "") -> list[str]:
    """Where ``now`` lacks or changes something of ``frozen``, or adds what may not be added."""
    key = at.rpartition(".")[2]
    if isinstance(frozen, dict) and isinstance(now, dict):
        grown = now.keys() - frozen.keys() - {"env", "volumeMounts", "ports"}
        found = [f"{at}.{name} is new" for name in grown if key not in ("labels", "annotations")]
        for name, value in frozen.items():
            found += shrunk(value, now[name], f"{at}.{name}") if name in now else [f"{at}.{name}"]
        return found
    if key in GROW and isinstance(now, list):
        by = GROW[key]
        known = {item[by]: item for item in now}
        return [
            problem
            for item in frozen
            for problem in shrunk(item, known.get(item[by]), f"{at}[{item[by]}]")
        ]
    return [] if frozen == now else [f"{at}: {frozen!r} is now {now!r}"]


@pytest.mark.parametrize("name", RUNNERS)
def test_a_runner_is_rendered_as_before_but_for_what_may_grow(name: str) -> None:
    frozen = dict(RUNNERS[name])
    now = rendered(frozen.pop("runner"), frozen.pop("userConfig"))
    # Another identity or another text would be a new release: every runner would be cut over.
    for key in ("release", "config", "configMap"):
        assert now[key] == frozen[key], key
    assert shrunk(frozen, now) == []


@pytest.mark.parametrize(
    ("now", "found"),
    [
        ({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "args": ["x"]}, 0),
        ({"env": [{"name": "A", "value": "2"}], "args": ["x"]}, 1),
        ({"env": [], "args": ["x"]}, 1),
        ({"env": [{"name": "A", "value": "1"}], "args": ["x", "--new"]}, 1),
        ({"env": [{"name": "A", "value": "1"}], "args": ["x"], "command": ["y"]}, 1),
        ({"env": [{"name": "A", "value": "1"}]}, 1),
    ],
)
def test_what_counts_as_grown(now: dict[str, Any], found: int) -> None:
    frozen = {"env": [{"name": "A", "value": "1"}], "args": ["x"]}
    assert len(shrunk(frozen, now)) == found


@pytest.mark.parametrize("name", RUNNERS)
def test_this_runner_reads_the_configuration_of_before(name: str, tmp_path: Path) -> None:
    path = tmp_path / "runner.yaml"
    path.write_text(RUNNERS[name]["config"])
    assert load_config(path).runner.name == name


def _argument_lists() -> list[list[str]]:
    found = [
        container["args"]
        for runner in RUNNERS.values()
        for pod in (*runner["templates"].values(), *runner["pods"].values())
        for container in pod["containers"].values()
    ]
    return [list(words) for words in sorted({tuple(each) for each in found})]


@pytest.mark.parametrize("words", _argument_lists(), ids=" ".join)
def test_this_runner_understands_the_arguments_of_before(words: list[str]) -> None:
    command: click.Command = main
    context = click.Context(command)
    while isinstance(command, click.Group):
        _, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
    # Raises for an argument that isn't known any more, or one that is required by now.
    parsed, rest, _ = command.make_parser(context).parse_args(list(words))
    assert rest == []
    for parameter in command.params:
        assert not parameter.required or parameter.name in parsed


RESULTS = {
    "nothing asked": Result.NOTHING,
    "backed up": Result.NOTHING,
    "backed up again": Result.NOTHING,
    "restored": Result.RESTORED,
    "restored again": Result.RESTORED,
    "restored again, mark damaged": Result.ERROR,
    "kept": Result.KEPT,
    "frozen": Result.FROZEN,
    "frozen again": Result.FROZEN,
    "missing": Result.MISSING,
    "damaged": Result.ERROR,
    "unknown argument": Result.ERROR,
}


@pytest.mark.parametrize("name", WORDS["prepare"])
def test_every_answer_of_the_state_container_is_known(name: str) -> None:
    said = statement(WORDS["prepare"][name]["message"])
    assert said.result is RESULTS[name]
    assert (said.backup is not None) is ("backed up" in name)
    assert (said.id == UID) is (said.result not in (Result.NOTHING, Result.ERROR))
    assert (said.problem != "") is (said.result is Result.ERROR)


def _answers(folder: Path) -> dict[str, dict[str, Any]]:
    """The same story as the golden one, told by this release."""

    def go(**wanted: Any) -> dict[str, Any]:
        return json.loads(json.dumps(prepare(folder, Preparation(**wanted), clock=lambda: 1.0)))  # type: ignore[no-any-return]

    report = folder.parent / "report"
    report.mkdir()
    (report / "report.md").write_text("x")
    (folder / "paper_oms.json").write_text("a book")
    told = {"nothing asked": go(), "missing": go(restore=UID)}
    told |= {"backed up": go(backup=UID), "backed up again": go(backup=UID)}
    (folder / "paper_oms.json").write_text("worse")
    told |= {"restored": go(restore=UID, incident_dir=report), "restored again": go(restore=UID)}
    told["kept"] = go(restore=UID, mode=Mode.KEEP)
    told["frozen"] = go(restore=UID, mode=Mode.FREEZE, incident_dir=report)
    told["frozen again"] = go(restore=UID, mode=Mode.FREEZE)
    return told


def test_this_runner_answers_with_what_an_operator_of_before_reads(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    for name, now in _answers(tmp_path / "state").items():
        before = json.loads(WORDS["prepare"][name]["message"])
        for part, value in before.items():
            known = value if isinstance(value, dict) else {part: value}
            own = now[part] if isinstance(value, dict) else now
            # The checksum is of a manifest that holds the time.
            same = {key: each for key, each in known.items() if key != "sha256"}
            assert same.items() <= own.items(), (name, part)
            assert known.keys() <= own.keys(), (name, part)
        assert statement(json.dumps(now)).result is RESULTS[name], name


@pytest.mark.parametrize("name", WORDS["check"])
def test_every_answer_of_a_check_pod_is_known(name: str) -> None:
    said = WORDS["check"][name]
    pod = AuxiliaryPodView("u", ended=True, exit_code=said["exitCode"], message=said["message"])
    found = answer(pod)
    assert found is not None
    assert found.misunderstood is (name == "unknown argument")
    assert (found.config != "") is (name == "unknown key")
    assert (found.secrets != "") is (name == "secret missing")


def test_this_runner_answers_a_check_as_before(tmp_path: Path) -> None:
    path = tmp_path / "runner.yaml"
    path.write_text(RUNNERS["smallest"]["config"])
    assert check(path, {}) == json.loads(WORDS["check"]["good"]["message"])


@pytest.mark.parametrize("name", WORDS["drill"])
def test_every_answer_of_a_drill_is_known(name: str) -> None:
    said = WORDS["drill"][name]
    assert read(said["exitCode"], said["message"])["passed"] is (name == "passed")


def test_a_status_of_before_is_read() -> None:
    trading, halted, killed = (
        view(WORDS["status"][name]) for name in ("trading", "halted", "kill switch")
    )
    assert trading is not None
    assert (trading.state, trading.kill_switch, trading.halt_token) == ("TRADING", False, "")
    assert halted is not None
    assert (halted.halt_token, halted.halt_complete) == (UID, True)
    assert killed is not None
    assert killed.kill_switch
    for each in (trading, halted, killed):
        assert each.writer_epoch == 1
        assert each.free_bytes
        assert each.backup_bytes
        assert each.open_venues is not None


def cluster() -> RunnerWorld:
    """A runner that trades, as an operator of before left it."""
    frozen = golden("cluster.json")
    world = RunnerWorld(spec=frozen["spec"], now=frozen["now"], epoch=frozen["epoch"])
    world.meta, world.status = frozen["meta"], frozen["status"]
    for manifest in frozen["objects"]:
        meta = manifest["metadata"]
        world.api.objects[world.ref(manifest["kind"], meta["name"])] = manifest
    for manifest in frozen["applied"]:
        world.api.applied[world.ref(manifest["kind"], manifest["metadata"]["name"])] = manifest
    for _ in range(100 + len(frozen["objects"])):
        next(world.api.uids)
        next(world.api.versions)
    world.pod = PodView(**frozen["pod"])
    world.process = ProcessView(**frozen["process"])
    world.pod_revision = frozen["revision"]
    world.pod_image, world.pod_config = frozen["image"], frozen["config"]
    return world


def test_an_upgraded_operator_leaves_a_runner_that_trades_alone() -> None:
    world = cluster()
    before, active = world.pod, world.status["activeRelease"]
    assert trades(build_context(world.observe()))
    world.settle()
    assert world.pod == before
    assert world.cutovers == {}
    assert world.status["activeRelease"] == active
    assert not build_context(world.observe()).drifted
    for step in world.log:
        assert not isinstance(step, Delete)
        applied = step.manifest["kind"] if isinstance(step, Apply) else ""
        assert applied not in (ReleaseCutover.KIND, "ConfigMap")


def test_a_changed_configuration_would_be_noticed() -> None:
    """The test above can fail: a key more in the configuration is a new release."""
    world = cluster()
    world.change(strategy={"name": "momentum", "parameters": {"window": 4}})
    world.settle()
    assert world.cutovers
