"""A drop copy: every event of the bus, once, in one SQLite file."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from tradepulse_runner.bus.consumer import Ledger, Received
from tradepulse_runner.files.snapshot import canonical


def open_recorder(path: Path) -> Ledger:
    """The file at ``path``, with the table ``events``. Raises sqlite3.Error."""
    ledger = Ledger(path)
    ledger.connection.execute(
        "CREATE TABLE IF NOT EXISTS events"
        " (id TEXT PRIMARY KEY, topic TEXT, key TEXT, body TEXT, recorded_at REAL)"
    )
    return ledger


def record(connection: sqlite3.Connection, event: Received) -> None:
    """A :data:`~tradepulse_runner.bus.consumer.Handler` that inserts ``event``."""
    row = (event.id, event.topic, event.key, canonical(event.body).decode(), time.time())
    connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", row)
