"""The immutable ConfigMap of one configuration: what ran can be started again as it was."""

from __future__ import annotations

from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.names import CONFIG_FILE, LABEL_CONFIG_HASH
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.resources.config.release import config_map_name, short_hash
from tradepulse_operator.resources.manifest import metadata, seal


def config_map(runner: TradingRunner, text: str) -> Manifest:
    """The ConfigMap with `text`, named after its hash."""
    config_hash = short_hash(text)
    name = config_map_name(runner.metadata.name, config_hash)
    return seal(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(runner, name, labels={LABEL_CONFIG_HASH: config_hash}),
            "immutable": True,
            "data": {CONFIG_FILE: text},
        }
    )
