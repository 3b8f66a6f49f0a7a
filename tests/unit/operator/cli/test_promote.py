"""Settings go through the environments under a version, and no version ever changes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.operator.environments import before_any_promotion
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.cli.promote import Refused, promote
from tradepulse_operator.cli.promotion import ENVIRONMENTS
from tradepulse_operator.common.names import (
    CONFIG_FILE,
    LABEL_CONFIG_HASH,
    LABEL_CONFIG_VERSION,
    LABEL_SETTINGS_HASH,
)
from tradepulse_operator.resources.config.release import render_release


def good(_: str) -> str:
    """A validator that finds nothing: for what is not about the validator."""
    return ""


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    return before_any_promotion(tmp_path / "configs")


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def change(folder: Path, change: Any) -> None:
    """Let `change` edit the environment's TradingRunner."""
    file = folder / "btc" / "tradingrunner.yaml"
    manifest = yaml.safe_load(file.read_text())
    change(manifest)
    file.write_text(yaml.safe_dump(manifest))


def ask_for(folder: Path, config: str | None) -> None:
    change(folder, lambda found: found["spec"]["release"].update(config=config))


def test_every_environment_gets_the_same_settings_and_the_operators_own_hash(configs: Path) -> None:
    texts = set()
    for environment in ENVIRONMENTS:
        folder = configs / environment
        promote(folder, good)
        found = yaml.safe_load((folder / "promoted" / "btc-1.0.0.yaml").read_text())
        runner = TradingRunner.model_validate(
            yaml.safe_load((folder / "btc" / "tradingrunner.yaml").read_text())
        )
        text = found["data"][CONFIG_FILE]
        release = render_release(runner, runner.spec.release, text).release
        assert found["immutable"] is True
        assert found["metadata"]["namespace"] == runner.metadata.namespace
        assert found["metadata"]["name"] == runner.spec.release.config
        labels = found["metadata"]["labels"]
        assert labels[LABEL_CONFIG_VERSION] == "1.0.0"
        assert labels[LABEL_CONFIG_HASH] == release.config_hash
        texts.add((text, labels[LABEL_SETTINGS_HASH]))
    assert len(texts) == 1
    assert texts.pop()[0] == (configs / "dev" / "btc" / CONFIG_FILE).read_text()


def test_a_second_time_writes_nothing_and_says_the_same(configs: Path) -> None:
    first = promote(configs / "dev", good)
    before = files(configs)
    assert promote(configs / "dev", good) == first
    assert files(configs) == before
    assert promote(configs / "dev", good, check=True) == first


def test_nothing_passes_an_environment_by(configs: Path) -> None:
    promote(configs / "dev", good)
    with pytest.raises(Refused, match="promote that version to staging first"):
        promote(configs / "production", good)


def _other_settings(folder: Path) -> None:
    file = folder / "btc" / CONFIG_FILE
    file.write_text(file.read_text().replace("action: reduce", "action: halt"))


def _other_limits(folder: Path) -> None:
    change(folder, lambda found: found["spec"]["risk"].update(maxDailyLoss="1"))


@pytest.mark.parametrize("edit", [_other_settings, _other_limits])
def test_a_version_never_changes(configs: Path, edit: Any) -> None:
    dev = configs / "dev"
    promote(dev, good)
    edit(dev)
    before = files(configs)
    with pytest.raises(Refused, match=r"btc-1\.0\.0 is promoted with another content.*a new versi"):
        promote(dev, good)
    assert files(configs) == before
    ask_for(dev, "btc-1.1.0")
    promote(dev, good)
    # The one before stays: a runner may go back to it.
    listed = yaml.safe_load((dev / "kustomization.yaml").read_text())["resources"]
    assert listed == [
        "btc/tradingrunner.yaml", "promoted/btc-1.0.0.yaml", "promoted/btc-1.1.0.yaml",
    ]  # fmt: skip


def test_another_image_is_no_other_version(configs: Path) -> None:
    promote(configs / "dev", good)
    before = files(configs / "dev" / "promoted")
    image = "registry.example.com/tradepulse/runner:1.1.0"
    change(configs / "dev", lambda found: found["spec"]["release"].update(image=image))
    (said,) = promote(configs / "dev", good)
    assert image in said
    assert files(configs / "dev" / "promoted") == before


def test_what_was_edited_by_hand_goes_no_further(configs: Path) -> None:
    promote(configs / "dev", good)
    file = configs / "dev" / "promoted" / "btc-1.0.0.yaml"
    file.write_text(file.read_text().replace("action: reduce", "action: kill"))
    with pytest.raises(Refused, match="changed after it was promoted: restore it from Git"):
        promote(configs / "staging", good)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (None, "write the name and a version, e.g. btc-1.0.0"),
        ("btc-1", "write the name and a version"),
        ("other-1.0.0", "write the name and a version"),
        ("btc-0123456789", "write the name and a version"),
        (f"btc-1.{'0' * 62}", "write the name and a version"),
    ],
)
def test_a_config_without_a_version_is_refused(configs: Path, config: str, says: str) -> None:
    ask_for(configs / "dev", config)
    with pytest.raises(Refused, match=says):
        promote(configs / "dev", good)


def test_everything_that_is_wrong_is_named_with_its_file(configs: Path) -> None:
    dev = configs / "dev"
    second = dev / "eth"
    shutil.copytree(dev / "btc", second)
    change(dev, lambda found: found["spec"].pop("risk"))
    with pytest.raises(Refused) as found:
        promote(dev, good)
    assert "btc/tradingrunner.yaml: spec.risk" in str(found.value)
    assert "eth/tradingrunner.yaml: metadata.name is btc: name the folder alike" in str(found.value)
    assert not (dev / "promoted").exists()


def test_the_settings_are_written_in_the_first_environment_alone(configs: Path) -> None:
    promote(configs / "dev", good)
    (configs / "staging" / "btc" / CONFIG_FILE).write_text("guard: {action: kill}\n")
    with pytest.raises(Refused, match="settings come from dev: remove it"):
        promote(configs / "staging", good)
