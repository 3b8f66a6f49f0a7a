"""A runner's settings under a version, as they go from one environment to the next. Pure.

The same text everywhere: what is different between environments (venues, limits, policy) is in each
one's TradingRunner. A version never changes; nor does what the operator renders of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tradepulse_operator.api.release import Release
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.names import (
    CONFIG_FILE,
    LABEL_CONFIG_HASH,
    LABEL_CONFIG_VERSION,
    LABEL_SETTINGS_HASH,
)
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.resources.config import yaml_text
from tradepulse_operator.resources.config.release import render_release, short_hash
from tradepulse_operator.resources.config.render import ConfigError

from .validate import problems

#: In the order in which settings pass them.
ENVIRONMENTS = ("dev", "staging", "production")
_LONGEST_LABEL = 63
#: With a dot: what the operator renders is named after a hash, which has none.
_VERSION = r"[0-9]+(\.[0-9a-z]+)+(-[0-9a-z]+)*"


class PromotionError(ValueError):
    """What can't be promoted; the message says what to do."""


@dataclass(frozen=True)
class Promotion:
    """`manifest`: the ConfigMap. `text`: what the process will read. `release`: as the operator
    will name it, which is what people sign off."""

    manifest: Manifest
    text: str
    release: Release


def read_runner(manifest: Mapping[str, Any]) -> TradingRunner:
    """The TradingRunner of a file. Raises PromotionError with everything that is wrong with it."""
    wrong = problems(manifest)
    if not wrong and not manifest["metadata"].get("namespace"):
        wrong = ["metadata.namespace: name it, as the ConfigMap goes to the same one"]
    if wrong:
        raise PromotionError("\n".join(wrong))
    return TradingRunner.model_validate(manifest)


def version(runner: TradingRunner) -> str:
    """The version of the settings that `runner` asks for. Raises PromotionError."""
    name, config = runner.metadata.name, runner.spec.release.config
    match = re.fullmatch(f"{re.escape(name)}-({_VERSION})", config or "")
    if match is None or len(match[1]) > _LONGEST_LABEL:
        raise PromotionError(
            f"spec.release.config is {config}: write the name and a version, e.g. {name}-1.0.0"
        )
    return match[1]


def promotion(runner: TradingRunner, settings: str) -> Promotion:
    """`settings` (the text of the user's `runner.yaml`) for `runner`. Raises PromotionError."""
    labels = {LABEL_CONFIG_VERSION: version(runner)}
    try:
        rendered = render_release(runner, runner.spec.release, settings)
    except ConfigError as error:
        raise PromotionError(str(error)) from error
    labels |= {
        LABEL_CONFIG_HASH: rendered.release.config_hash,
        LABEL_SETTINGS_HASH: short_hash(settings),
    }
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": runner.spec.release.config,
            "namespace": runner.metadata.namespace,
            "labels": labels,
        },
        "immutable": True,
        "data": {CONFIG_FILE: settings},
    }
    return Promotion(manifest, rendered.text, rendered.release)


def settings_of(text: str) -> str:
    """The settings in a promoted ConfigMap's file. Raises PromotionError when it was changed."""
    try:
        document = yaml_text.read(text)
        settings, labels = document["data"][CONFIG_FILE], document["metadata"]["labels"]
        whole = short_hash(settings) == labels[LABEL_SETTINGS_HASH]
    except (yaml.YAMLError, LookupError, TypeError, AttributeError) as error:
        raise PromotionError(f"no promoted ConfigMap: restore it from Git: {error}") from error
    if not whole:
        raise PromotionError("was changed after it was promoted: restore it from Git")
    return str(settings)
