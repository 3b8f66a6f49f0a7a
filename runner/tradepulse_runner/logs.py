"""JSON logs on standard error, each line with the runner's name. No secret is ever a field."""

from __future__ import annotations

import logging
import sys

from pythonjsonlogger.json import JsonFormatter


def configure(runner: str, level: str = "INFO") -> None:
    """Log as JSON lines: ``time``, ``level``, ``logger``, ``message``, ``runner``, then fields."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "{asctime}{levelname}{name}{message}",
            style="{",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            static_fields={"runner": runner},
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
