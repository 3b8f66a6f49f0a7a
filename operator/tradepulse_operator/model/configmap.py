"""The immutable ConfigMap of one configuration: what ran can be started again as it was."""

from __future__ import annotations

from tradepulse_operator.api.names import CONFIG_FILE, LABEL_CONFIG_HASH
from tradepulse_operator.api.runner import TradingRunner

from .manifest import Manifest, metadata, seal
from .release import config_map_name, short_hash


def config_map(runner: TradingRunner, text: str) -> Manifest:
    """The ConfigMap that holds `text`, named after its hash."""
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
