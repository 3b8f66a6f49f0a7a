"""Version and revision of this build.

The file named by ``TRADEPULSE_RELEASE_FILE`` wins, else ``release.json`` next to this module,
else the package metadata. Shape: ``{"version": "1.1.0", "revision": "abc123"}``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from tradepulse_runner.config.runner import Model, parse_model
from tradepulse_runner.errors import ConfigError

_DISTRIBUTIONS = ("tradepulse", "tradepulse-operator", "tradepulse-runner")


class Release(Model):
    """Build-time metadata."""

    version: str
    revision: str = ""


def load_release(environ: Mapping[str, str] = os.environ) -> Release:
    """This build's release. Raises :class:`ConfigError` for an unreadable file."""
    named = environ.get("TRADEPULSE_RELEASE_FILE")
    path = Path(named) if named else Path(__file__).with_name("release.json")
    if not named and not path.exists():
        return Release(version=_installed_version())
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{path}: release file cannot be read: {exc}") from exc
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: release file must be a JSON object")
    return parse_model(Release, raw, source=str(path))


def _installed_version() -> str:
    for name in _DISTRIBUTIONS:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "0.0.0+unknown"
