"""Options that select the object store of a command."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from tradepulse_runner.config.runner import ObjectStoreConfig, parse_model
from tradepulse_runner.credentials.store import CredentialStore
from tradepulse_runner.store.bucket import Folder

F = TypeVar("F", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_DIR = click.Path(path_type=Path, exists=True, file_okay=False)


def store_options(command: F) -> F:
    """Add the options of :func:`open_folder`."""
    for option in (
        click.option(
            "--ca-file",
            type=_FILE,
            help="PEM CA certificates to trust in addition to the system's.",
        ),
        click.option(
            "--credentials-dir",
            type=_DIR,
            help="Directory with the files S3_API_KEY and S3_API_SECRET; default: the environment"
            " variables of these names.",
        ),
        click.option(
            "--region", default="us-east-1", show_default=True, help="Region of the bucket."
        ),
        click.option("--endpoint", help="https address of the object store; required with --from."),
    ):
        command = option(command)
    return command


def open_folder(
    url: str,
    *,
    endpoint: str | None,
    region: str,
    credentials_dir: Path | None,
    ca_file: Path | None,
) -> Folder:
    """The folder at ``url``, ``s3://BUCKET/PATH``. Raises :class:`ConfigError`."""
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or not parts.path.strip("/"):
        raise click.BadParameter(f"{url!r} is not s3://BUCKET/FOLDER", param_hint="--from")
    if endpoint is None:
        raise click.BadParameter("name the server, https://…", param_hint="--endpoint")
    raw = {
        "endpoint": endpoint,
        "bucket": parts.netloc,
        "region": region,
        "credentials_dir": credentials_dir or Path(),
        "ca_file": ca_file,
    }
    config = parse_model(ObjectStoreConfig, raw, source="command line")
    credentials = CredentialStore.open("s3", credentials_dir, os.environ)
    return Folder(config, credentials.current, parts.path.strip("/"))
