"""Checks whether this release can run with a configuration and its mounted secrets.

Connects to nothing and writes nothing: venues, state and lease aren't needed. The operator runs
this in a pod of the target release before it changes the running one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tradepulse_runner.config.database import require_files
from tradepulse_runner.config.runner import RunnerConfig, load_config
from tradepulse_runner.credentials.store import open_stores
from tradepulse_runner.errors import ConfigError
from tradepulse_runner.strategy.catalog import build_strategy
from tradepulse_runner.venues.catalog import check_options

#: Characters of one message: the kubelet keeps 4,096 bytes of a termination message.
MAX_MESSAGE = 1500
#: Directories of secrets that must not be empty, separated by colons.
SECRETS = "TRADEPULSE_SECRETS"


def check(path: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Returns `{"ok", "config", "secrets"}`; the latter two are error texts, "" if there is
    none."""
    config, wrong = _read(path)
    secrets = _secrets(config, environment)
    return {
        "ok": not wrong and not secrets,
        "config": wrong[:MAX_MESSAGE],
        "secrets": secrets[:MAX_MESSAGE],
    }


def _read(path: Path) -> tuple[RunnerConfig | None, str]:
    try:
        config = load_config(path)
    except ConfigError as error:
        return None, str(error)
    source = str(path)
    checks: list[Callable[[], object]] = [lambda: build_strategy(config.strategy, source=source)]
    checks += [_options_check(venue, source) for venue in config.venues]
    return config, "\n".join(_failures(checks))


def _options_check(venue: Any, source: str) -> Callable[[], object]:
    return lambda: check_options(venue, source=source)


def _secrets(config: RunnerConfig | None, environment: Mapping[str, str]) -> str:
    folders = [Path(name) for name in environment.get(SECRETS, "").split(":") if name]
    checks: list[Callable[[], object]] = [_secret_check(folder) for folder in folders]
    if config is not None:
        checks.append(lambda: open_stores(config, environment))
        if (database := config.database) is not None:
            checks.append(lambda: require_files(database))
        checks += _admin_checks(config, environment)
    return "\n".join(dict.fromkeys(_failures(checks)))


def _admin_checks(
    config: RunnerConfig, environment: Mapping[str, str]
) -> Iterator[Callable[[], object]]:
    if config.admin is not None:
        # Imported on demand: only needed where the admin API is configured.
        from tradepulse_runner.admin.check import checks  # noqa: PLC0415

        yield from checks(config.admin, environment)


def _secret_check(folder: Path) -> Callable[[], None]:
    def check_folder() -> None:
        files = [each for each in folder.glob("*") if each.is_file()] if folder.is_dir() else []
        if not files:
            raise ConfigError(f"{folder}: no secret is there; remedy: create the Secret it is of")
        for each in files:
            if not each.stat().st_size:
                raise ConfigError(f"{each}: empty; remedy: give the key of the Secret a value")

    return check_folder


def _failures(checks: list[Callable[[], object]]) -> Iterator[str]:
    for one in checks:
        try:
            one()
        except ConfigError as error:
            yield str(error)
