"""Which release a specification means: its image, its rendered configuration, its identity."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from tradepulse_operator.api.release import Release, ReleaseSpec
from tradepulse_operator.api.runner import TradingRunner

from . import admin, database
from . import event_bus as eventbus
from . import object_store as objectstore
from .render import render

#: Characters of SHA-256 that names and labels carry: 40 bits, for a handful of releases a runner.
SHORT = 10


@dataclass(frozen=True)
class Rendered:
    """A release with the text of its configuration."""

    release: Release
    text: str


def short_hash(text: str) -> str:
    """SHA-256 of `text`, shortened."""
    return hashlib.sha256(text.encode()).hexdigest()[:SHORT]


def config_map_name(runner: str, config_hash: str) -> str:
    """Name of the immutable ConfigMap with the configuration of that hash."""
    return f"{runner}-{config_hash}"


def render_release(
    runner: TradingRunner, release_spec: ReleaseSpec, user_config: str | None
) -> Rendered:
    """The release that `release_spec` means for `runner` now. Raises ConfigError."""
    meta = runner.metadata
    text = render(meta.name, meta.namespace, runner.spec, release_spec, user_config)
    config_hash = short_hash(text)
    release = Release(
        id=short_hash(f"{release_spec.image}\n{config_hash}"),
        image=release_spec.image,
        config_map=config_map_name(meta.name, config_hash),
        config_hash=config_hash,
        cold_start=release_spec.cold_start,
        credentials={
            venue.name: venue.credentials_secret
            for venue in runner.spec.venues
            if venue.credentials_secret
        },
        secrets=objectstore.secrets(runner.spec)
        | eventbus.secrets(runner.spec)
        | database.secrets(runner.spec)
        | admin.secrets(runner.spec),
    )
    return Rendered(release, text)


def resolve(runner: TradingRunner, release_spec: ReleaseSpec, user_config: str | None) -> Release:
    """The release that `release_spec` means for `runner` now. Raises ConfigError."""
    return render_release(runner, release_spec, user_config).release
