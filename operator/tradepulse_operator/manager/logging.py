"""Logs as one JSON object a line, each with the object that it is about.

Messages are the operator's own words and the errors of its ports; manifests and configurations are
never logged, so that nothing secret can be.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from pythonjsonlogger.json import JsonFormatter

_about: ContextVar[str] = ContextVar("about", default="")


@contextmanager
def about(what: object) -> Iterator[None]:
    """Everything that is logged inside is about `what`."""
    token = _about.set(str(what))
    try:
        yield
    finally:
        _about.reset(token)


class _About(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.object = _about.get()
        return True


def configure(level: str = "INFO") -> None:
    """Send all logs to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_About())
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(object)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            datefmt="%Y-%m-%dT%H:%M:%S%z",
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # A line for every event and every request says nothing that the metrics don't.
    for chatty in ("kopf", "aiohttp.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
