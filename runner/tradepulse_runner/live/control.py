"""Orders from the operator: files projected from pod annotations into ``control_dir``.

Kubernetes swaps a symlink, so files are opened by path on each read and never kept open.
``trading`` empty or missing means trade; ``halt <token> <reason…>`` means stop; ``reduce <token>
<reason…>`` sends only orders that reduce a position. Anything else can't be parsed, and what can't
be parsed halts. ``kill-switch``, if not empty, is the reason to engage the kill switch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Directive:
    """What the operator wants. ``token`` names the halt so that its completion can be matched.
    ``halt`` and ``reduce`` exclude each other."""

    halt: bool = False
    token: str = ""
    reason: str = ""
    kill_switch: str = ""
    reduce: bool = False


def read_control(directory: Path | None) -> Directive:
    """The current directive; without a directory there is none (trade)."""
    if directory is None:
        return Directive()
    kill = _read(directory / "kill-switch")
    trading = _read(directory / "trading")
    if not trading:
        return Directive(kill_switch=kill)
    word, token, reason = (*trading.split(maxsplit=2), "", "")[:3]
    if word not in ("halt", "reduce") or not token:
        return Directive(True, "", f"control value not understood: {trading[:200]!r}", kill)
    return Directive(word == "halt", token, reason, kill, word == "reduce")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return ""
    except OSError as exc:
        # Present but unreadable: there may be a command in it, so it counts as invalid and halts.
        return f"unreadable: {exc}"
