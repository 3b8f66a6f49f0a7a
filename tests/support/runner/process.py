"""A real runner process, watched from outside: HTTP, files, and the paper venue's own book."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import yaml
from click.testing import CliRunner, Result

from tradepulse_runner.cli.main import main

T = TypeVar("T")
ROOT = Path(__file__).parents[3]
PATIENCE = 60.0


def eventually(ask: Callable[[], T | None], *, within: float = PATIENCE, what: str = "") -> T:
    """The first truthy answer; AssertionError with the last one when none comes."""
    end = time.monotonic() + within
    while not (answer := ask()):
        assert time.monotonic() < end, f"waited {within} s for {what or ask}: {answer!r}"
        time.sleep(0.02)
    return answer


class RunnerProcess:
    """One ``tradepulse-runner run`` on ``folder``; started again as often as needed."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.folder, self.state_dir, self.control = folder, folder / "state", folder / "control"
        self.control.mkdir(parents=True)
        self.release: dict[str, Any] = {"version": "1.2.3"}
        self.config: dict[str, Any] = {
            "runner": {"name": "demo"},
            "state_dir": str(self.state_dir),
            "control_dir": str(self.control),
            "strategy": {"name": "momentum", "parameters": {"orders_per_second": 50}},
            "venues": [
                {
                    "name": "paper",
                    "connector": "paper",
                    "symbols": ["BTC-USD", "ETH-USD"],
                    "options": {"seed": 3, "tick_interval": 0.05, "latency": 0.002},
                }
            ],
            "risk": {
                "max_position": "50",
                "max_notional": "1000000",
                "max_order_notional": "20000",
                "max_orders_per_interval": 1000,
                "interval_seconds": 1,
                "max_daily_loss": "100000",
                "price_collar": "0.05",
            },
            "loop": {"heartbeat_interval": 0.1, "fill_poll_interval": 0.2},
            "http": {"host": "127.0.0.1", "port": 0},
            "metrics": {"port": 0},
            **config,
        }
        self.environ: dict[str, str] = {}  # of its own, beside ours
        self.program = "tradepulse_runner"
        self.process: subprocess.Popen[bytes] | None = None
        self.runs = 0
        self.ports = (0, 0)

    # -- life ------------------------------------------------------------------------------

    def start(self, *, wait: bool = True) -> RunnerProcess:
        self.runs += 1
        path, release = self.folder / "runner.yaml", self.folder / "release.json"
        path.write_text(yaml.safe_dump(self.config))
        release.write_text(json.dumps(self.release))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.program, "run", "--config", str(path)],
                stderr=log,
                env=environment() | {"TRADEPULSE_RELEASE_FILE": str(release)} | self.environ,
            )
        if wait:
            self.ports = eventually(self._listening, what=f"ports in {self.log}")
        return self

    def _listening(self) -> tuple[int, int] | None:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        for line in self.logged("runner.listening"):
            return int(line["http"]), int(line["metrics"])
        return None

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Signal it and wait; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)

    # -- what it says ----------------------------------------------------------------------

    @property
    def log(self) -> Path:
        return self.folder / f"log.{self.runs}"

    def logged(self, message: str) -> list[dict[str, Any]]:
        lines = [line for line in self.log.read_text().splitlines(True) if line.endswith("}\n")]
        return [found for line in lines if (found := json.loads(line))["message"] == message]

    def get(self, path: str, *, port: int = 0, within: float = 5.0) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.ports[port]}{path}"
        try:
            with urllib.request.urlopen(url, timeout=within) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("/status")[1])
        return found

    def metrics(self, *, within: float = 5.0) -> dict[str, float]:
        text = self.get("/metrics", port=1, within=within)[1]
        rows = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in rows}

    def until(self, fits: Callable[[dict[str, Any]], Any], what: str = "") -> dict[str, Any]:
        """The first ``/status`` that fits."""

        def ask() -> dict[str, Any] | None:
            found = self.status()
            return found if fits(found) else None

        return eventually(ask, what=f"{what} in {self.log}")

    def trade(self, orders: int) -> None:
        """Until so many orders more were sent."""
        goal = self.status()["orders"]["submitted"] + orders
        self.until(lambda s: s["orders"]["submitted"] >= goal, f"{orders} orders")

    def beats(self, count: int = 3) -> None:
        """Let so many heartbeats pass."""
        for _ in range(count):
            last = self.status()["heartbeat"]
            self.until(_later(last))

    # -- orders to it ----------------------------------------------------------------------

    def command(self, file: str, text: str) -> None:
        """Replace a control file as the kubelet does: at once."""
        temp = self.control / f".{file}"
        temp.write_text(text)
        temp.rename(self.control / file)

    def halt(self, token: str = "t1") -> dict[str, Any]:
        self.command("trading", f"halt {token} test")
        return self.until(lambda s: s["halt"]["complete"] and s["halt"]["token"] == token, "halt")

    # -- the venue -------------------------------------------------------------------------

    def venue(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        database = self.state_dir / "paper" / "paper.sqlite"
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def venue_orders(self) -> dict[str, tuple[str, Decimal]]:
        """Client id → status and filled. Fails if an id was accepted twice."""
        rows = self.venue("SELECT client_id, status, filled FROM orders ORDER BY id")
        found = {client_id: (status, Decimal(filled)) for client_id, status, filled in rows}
        assert len(found) == len(rows), "an id was accepted twice"
        return found

    def venue_open(self) -> int:
        return sum(
            status in ("open", "partially_filled") for status, _ in self.venue_orders().values()
        )

    def venue_positions(self) -> dict[str, Decimal]:
        rows = self.venue("SELECT symbol, quantity FROM positions")
        return {symbol: Decimal(held) for symbol, held in rows if Decimal(held)}

    def book(self) -> dict[str, Any]:
        """The runner's own state, from its newest snapshot."""
        text = (self.state_dir / "paper_oms.json").read_text()
        found: dict[str, Any] = json.loads(text)["payload"]["state"]
        return found

    def assert_agrees(self) -> None:
        """Halted or stopped: book and venue tell one story, order by order."""
        theirs = self.venue_orders()
        ours = {r["id"]: (r["status"], Decimal(r["filled"])) for r in self.book()["orders"]}
        assert theirs.keys() <= ours.keys(), "lost orders"
        assert {i: ours[i] for i in theirs} == theirs
        never = {status for i, (status, _) in ours.items() if i not in theirs}
        assert never <= {"expired", "rejected"}, "orders that the venue never saw"
        held = {s: Decimal(q) for s, q in self.book()["positions"].items() if Decimal(q)}
        assert held == self.venue_positions()


def _later(than: float) -> Callable[[dict[str, Any]], bool]:
    return lambda status: bool(status["heartbeat"] > than)


def environment() -> dict[str, str]:
    path = f"{ROOT / 'runner'}"
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def cli(*arguments: str) -> Result:
    """One command of ``tradepulse-runner``, beside the running process."""
    return CliRunner().invoke(main, arguments)
