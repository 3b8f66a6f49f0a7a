"""Tells what happens while it happens: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.status import Status

PLAIN_INTERVAL = 20.0
LIVE_INTERVAL = 0.5
TAIL_LINES = 25

Describe = Callable[[Path], str]


class StepFailed(RuntimeError):
    """A step failed; the message is all that a person needs to go on."""


def clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def last_line(log: Path) -> str:
    lines = tail(log, 1)
    return lines[0].strip()[:100] if lines else ""


def tail(log: Path, count: int) -> list[str]:
    """The last lines of a file, reading its end only: logs can be large."""
    try:
        with log.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - 16_384))
            text = stream.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in text.replace("\r", "\n").splitlines() if line.strip()][-count:]


class Step:
    """One thing that takes a while. A ticker thread keeps telling how long, and for what."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self.title = title
        self._detail: Callable[[], str] = lambda: ""
        self._started = time.monotonic()
        self._done = threading.Event()
        self._status: Status | None = None
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Step:
        if self._console.is_terminal:
            self._status = self._console.status(escape(self.title))
            self._status.start()
        else:
            self._plain("…")
        self._ticker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._ticker.join()
        if self._status is not None:
            self._status.stop()
        mark = "[green]✓[/]" if error is None else "[red]✗[/]"
        took = clock(time.monotonic() - self._started)
        prefix = "" if self._console.is_terminal else time.strftime("%H:%M:%S ")
        self._console.print(f"{prefix}{mark} {escape(self.title)} [dim]({took})[/]")

    def waits_for(self, what: str) -> None:
        self._detail = lambda: what

    def run(
        self,
        argv: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        describe: Describe = last_line,
    ) -> None:
        """Run a program, its output in `log`; on failure the log's tail is in the error."""
        log.parent.mkdir(parents=True, exist_ok=True)
        self._detail = lambda: describe(log)
        with log.open("wb") as stream:
            code = subprocess.run(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                check=False,
            ).returncode
        if code != 0:
            shown = "\n".join(f"  {line}" for line in tail(log, TAIL_LINES))
            raise StepFailed(f"{self.title}: exit code {code}; the end of {log}:\n{shown}")

    def _tick(self) -> None:
        interval = LIVE_INTERVAL if self._status is not None else PLAIN_INTERVAL
        while not self._done.wait(interval):
            detail = self._detail()
            text = clock(time.monotonic() - self._started) + (f" · {detail}" if detail else "")
            if self._status is not None:
                self._status.update(f"{escape(self.title)} [dim]{escape(text)}[/]")
            else:
                self._plain(text)

    def _plain(self, text: str) -> None:
        self._console.print(escape(f"{time.strftime('%H:%M:%S')} {self.title} {text}"))


class Progress:
    def __init__(self, console: Console | None = None) -> None:
        # Without a terminal, rich would fold lines at 80 columns; logs are easier to read unfolded.
        width = None if sys.stdout.isatty() else 200
        self.console = console or Console(width=width, highlight=False)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        with Step(self.console, title) as step:
            yield step

    def note(self, text: str) -> None:
        self.console.print(escape(text))
