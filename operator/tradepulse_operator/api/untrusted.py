"""Values that a release chose: parsed within bounds, cleaned, and of the very type that is asked.

A release that is to be rolled back may answer, log and leave behind whatever it likes. Nothing here
converts one type into another: `true` is no number, `"7"` is none either, and infinity is no time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

#: JSON values inside one another; a runner's status has five.
DEEPEST = 24
#: Largest whole number that the API server keeps (int64).
LARGEST = 2**63 - 1
#: Characters of a text that is to fit into a status, as `Text` and `Message` have them.
LONGEST = 1024
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_CONTROLS = {
    code: _REPLACEMENT for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"
}


class Unreadable(ValueError):
    """It isn't what was asked for."""


def clean(text: str) -> str:
    """`text` without what UTF-8 can't say (lone surrogates) and a terminal would act on."""
    if text.isascii() and text.isprintable():
        return text
    return text.encode("utf-8", "replace").decode().translate(_CONTROLS)


def parse(content: str | bytes, limit: int) -> Any:
    """JSON of at most `limit` bytes or characters, its texts cleaned. Raises Unreadable."""
    if len(content) > limit:
        raise Unreadable(f"longer than {limit}")
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable("no JSON") from error
    return _cleaned(value, DEEPEST)


def _cleaned(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return clean(value)
    if not isinstance(value, dict | list):
        return value
    if depth == 0:
        raise Unreadable(f"deeper than {DEEPEST}")
    if isinstance(value, list):
        return [_cleaned(item, depth - 1) for item in value]
    return {clean(key): _cleaned(item, depth - 1) for key, item in value.items()}


def whole(value: Any) -> int:
    """A whole number from 0 to int64's largest. Raises Unreadable."""
    if type(value) is not int or not 0 <= value <= LARGEST:
        raise Unreadable("no count")
    return value


def finite(value: Any) -> float:
    """A number from 0 on that isn't infinite. Raises Unreadable."""
    if type(value) not in (int, float) or not 0 <= value <= LARGEST or not math.isfinite(value):
        raise Unreadable("no amount")
    return float(value)


def truth(value: Any) -> bool:
    """True or false, and nothing that is like one of them. Raises Unreadable."""
    if type(value) is not bool:
        raise Unreadable("neither true nor false")
    return value


def text(value: Any, longest: int = LONGEST) -> str:
    """A text, cleaned and cut to `longest` characters. Raises Unreadable for anything else."""
    if not isinstance(value, str):
        raise Unreadable("no text")
    return clean(value[:longest])


def mapping(value: Any) -> Mapping[str, Any]:
    """An object; an empty one for null. Raises Unreadable for anything else."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Unreadable("no object")
    return value
