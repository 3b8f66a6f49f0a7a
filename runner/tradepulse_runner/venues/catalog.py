"""The venues that a configuration can name, and how each connector is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tradepulse_runner.config import VenueConfig
from tradepulse_runner.credentials import CredentialStore
from tradepulse_runner.errors import ConfigError
from tradepulse_runner.venues.base import ExecutionConnector
from tradepulse_runner.venues.coinbase.connector import build_coinbase
from tradepulse_runner.venues.paper import build_paper


def build_connector(
    venue: VenueConfig,
    state_dir: Path,
    store: CredentialStore | None = None,
    *,
    source: str,
    clock: Callable[[], float],
) -> ExecutionConnector:
    """The connector of ``venue``; ``source`` names the file in errors. Raises ConfigError.

    ``store`` is what :func:`tradepulse_runner.credentials.open_stores` opened for it.
    """
    if venue.connector == "paper":
        return build_paper(venue, state_dir, source=source, clock=clock)
    if venue.connector == "coinbase" and store is not None:
        return build_coinbase(venue, store, source=source, clock=clock)
    raise ConfigError(
        f"{source}: venues.{venue.name}.connector: {venue.connector!r} is not available in this "
        "build; remedy: use paper"
    )
