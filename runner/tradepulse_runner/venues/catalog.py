"""The venues that a configuration can name, and how each connector is made."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tradepulse_runner.config.runner import VenueConfig, parse_model
from tradepulse_runner.credentials.store import CredentialStore
from tradepulse_runner.venues.base import ExecutionConnector, Permit, always
from tradepulse_runner.venues.binance.connector import build_binance
from tradepulse_runner.venues.binance.options import parse_options as binance_options
from tradepulse_runner.venues.coinbase.connector import build_coinbase
from tradepulse_runner.venues.coinbase.options import parse_options as coinbase_options
from tradepulse_runner.venues.paper import PaperOptions, build_paper

#: Makes the connector of a venue, as :func:`build_connector` does.
BuildConnector = Callable[..., ExecutionConnector]


def build_connector(
    venue: VenueConfig,
    state_dir: Path,
    store: CredentialStore | None = None,
    *,
    source: str,
    clock: Callable[[], float],
    permit: Permit = always,
) -> ExecutionConnector:
    """The connector of ``venue``; ``source`` names the file in errors. Raises ConfigError.

    ``store``: as :func:`~tradepulse_runner.credentials.store.open_stores` opened it. ``permit``:
    asked right before an order or a cancel is written to the wire.
    """
    if venue.connector == "paper":
        return build_paper(venue, state_dir, source=source, clock=clock)
    own = store or CredentialStore.open(venue.connector, venue.credentials_dir, os.environ)
    return _BUILDERS[venue.connector](venue, own, source=source, clock=clock, permit=permit)


def check_options(venue: VenueConfig, *, source: str) -> None:
    """Whether the connector takes the options and symbols of ``venue``. Raises ConfigError."""
    if venue.connector == "paper":
        parse_model(
            PaperOptions, venue.options, source=source, prefix=f"venues.{venue.name}.options"
        )
    else:
        _OPTIONS[venue.connector](venue, source=source)


_OPTIONS: dict[str, Callable[..., object]] = {
    "binance": binance_options,
    "coinbase": coinbase_options,
}
_BUILDERS: dict[str, Callable[..., ExecutionConnector]] = {
    "binance": build_binance,
    "coinbase": build_coinbase,
}
