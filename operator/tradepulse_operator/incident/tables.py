"""Tables and lists in Markdown, harmless whatever is in them."""

from __future__ import annotations

from collections.abc import Iterable


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table; each cell on one line."""
    lines = [head, tuple("---" for _ in head), *(tuple(cell(c) for c in row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def bullets(lines: Iterable[str]) -> str:
    """A list; says so when there is nothing."""
    return "\n".join(f"- {line}" for line in lines) or "- Nothing."


def cell(text: str) -> str:
    """`text` on one line, harmless inside a table."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def number(value: float | None) -> str:
    """Six digits, or that there is none."""
    return "not measured" if value is None else f"{value:.6g}"
