"""Settings go from one environment's folder to the next: validated, versioned, never changed.

    configs/ENV/RUNNER/tradingrunner.yaml    written by people; names the version it wants
    configs/dev/RUNNER/runner.yaml           the settings, written in the first environment alone
    configs/ENV/promoted/RUNNER-VERSION.yaml immutable ConfigMaps, written here
    configs/ENV/kustomization.yaml           all of these, written here

Nothing is written before everything in the environment is known to be good.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.names import CONFIG_FILE
from tradepulse_operator.resources.config import yaml_text

from .promotion import (
    ENVIRONMENTS,
    Promotion,
    PromotionError,
    promotion,
    read_runner,
    settings_of,
    version,
)

_PROMOTED = "promoted"
_HEADER = "# Written by `make promote`.\n"
#: Seconds that the runner's validator may take.
_PATIENCE = 120.0

#: What is wrong with a rendered `runner.yaml`, or "".
Validator = Callable[[str], str]


class Refused(Exception):
    """Nothing was written; the text has a line for each thing that is wrong."""


@dataclass(frozen=True)
class Written:
    """A file as it has to be."""

    path: Path
    text: str


def promote(folder: Path, validator: Validator, *, check: bool = False) -> list[str]:
    """What was promoted to the environment of `folder`, a line each; `check`: write nothing.

    Raises Refused, when a runner's settings are wrong, when a version would change, or, with
    `check`, when something isn't promoted.
    """
    if folder.name not in ENVIRONMENTS:
        raise Refused(f"{folder}: no environment: name one of {', '.join(ENVIRONMENTS)}")
    said, files, wrong = list[str](), list[Written](), list[str]()
    for file in sorted(folder.glob("*/tradingrunner.yaml")):
        try:
            promoted = _promotion(folder, file, validator)
            files.append(_config_map(folder, promoted))
            said.append(_line(folder, promoted))
        except PromotionError as error:
            wrong += [f"{file}: {line}" for line in str(error).splitlines()]
    if not said and not wrong:
        raise Refused(f"{folder}: no runner: write {folder}/NAME/tradingrunner.yaml")
    files.append(_kustomization(folder, files))
    if check:
        wrong += [f"{each.path}: isn't promoted: run make promote" for each in _stale(files)]
    if wrong:
        raise Refused("\n".join(wrong))
    for each in _stale(files):
        each.path.parent.mkdir(exist_ok=True)
        each.path.write_text(each.text)
    return said


def runner_validator(command: Sequence[str]) -> Validator:
    """The runner's own: `command` with the name of a file, as `config check` answers."""

    def ask(text: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / CONFIG_FILE
            file.write_text(text)
            done = subprocess.run(
                [*command, str(file)],
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
        try:
            # Secrets are not here: they are checked where they are, in the cluster.
            return str(json.loads(done.stdout)["config"]).replace(str(file), CONFIG_FILE)
        except (ValueError, LookupError, TypeError):
            why = (done.stderr or done.stdout).strip()[-500:]
            return f"the runner's validator gave no answer (exit code {done.returncode}): {why}"

    return ask


def _promotion(folder: Path, file: Path, validator: Validator) -> Promotion:
    runner = read_runner(_document(file))
    if runner.metadata.name != file.parent.name:
        raise PromotionError(f"metadata.name is {runner.metadata.name}: name the folder alike")
    version(runner)
    promoted = promotion(runner, _settings(folder, file.parent, runner))
    wrong = validator(promoted.text)
    if wrong:
        raise PromotionError(wrong)
    return promoted


def _settings(folder: Path, of_runner: Path, runner: TradingRunner) -> str:
    """Written by people in the first environment, and taken from the one before in any other."""
    own, place = of_runner / CONFIG_FILE, ENVIRONMENTS.index(folder.name)
    if place == 0:
        if not own.exists():
            raise PromotionError(f"{own} doesn't exist: write the settings there")
        return own.read_text()
    before = ENVIRONMENTS[place - 1]
    if own.exists():
        raise PromotionError(
            f"{own}: settings come from {before}: remove it and change them in {ENVIRONMENTS[0]}"
        )
    file = folder.parent / before / _PROMOTED / f"{runner.spec.release.config}.yaml"
    if not file.exists():
        raise PromotionError(f"{file} doesn't exist: promote that version to {before} first")
    return settings_of(file.read_text())


def _document(file: Path) -> Mapping[str, Any]:
    try:
        document = yaml_text.read(file.read_text())
    except yaml.YAMLError as error:
        raise PromotionError(f"not valid YAML: {error}") from error
    if not isinstance(document, dict):
        raise PromotionError("not a mapping: write one TradingRunner")
    return document


def _config_map(folder: Path, promoted: Promotion) -> Written:
    name = promoted.manifest["metadata"]["name"]
    path, text = (
        folder / _PROMOTED / f"{name}.yaml",
        _HEADER + yaml_text.write_for_people(promoted.manifest),
    )
    if path.exists() and path.read_text() != text:
        raise PromotionError(
            f"{name} is promoted with another content (its settings, or what the TradingRunner adds"
            " to them): give spec.release.config a new version"
        )
    return Written(path, text)


def _kustomization(folder: Path, files: Sequence[Written]) -> Written:
    promoted = {each.path for each in files} | set((folder / _PROMOTED).glob("*.yaml"))
    resources = sorted([*promoted, *folder.glob("*/tradingrunner.yaml")])
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [path.relative_to(folder).as_posix() for path in resources],
    }
    return Written(folder / "kustomization.yaml", _HEADER + yaml_text.write_for_people(content))


def _stale(files: Sequence[Written]) -> Iterator[Written]:
    for each in files:
        if not each.path.exists() or each.path.read_text() != each.text:
            yield each


def _line(folder: Path, promoted: Promotion) -> str:
    meta, release = promoted.manifest["metadata"], promoted.release
    return (
        f"{folder.name}: {meta['name']}: configuration {release.config_hash},"
        f" release {release.id} ({release.image})"
    )
