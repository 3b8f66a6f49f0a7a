"""Secrets out of text that somebody else wrote, such as logs.

The runner logs no secrets; a strategy or a library of the user's own may.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "[redacted]"

_NAME = (
    r"[\w.-]*(?:secret|token|passw(?:or)?d|passphrase|api[_-]?key|access[_-]?key"
    r"|private[_-]?key|signature|dsn|credential)[\w.-]*"
)
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\Z)", re.S), HIDDEN),
    (
        re.compile(r"(?i)\b((?:proxy-)?authorization[\"']?\s*[:=]\s*)[\"']?[^\n,;\"'}]+[\"']?"),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), HIDDEN),
    (re.compile(r"(://)[^/\s:@]*:[^/\s@]+@"), rf"\1{HIDDEN}@"),
    (
        re.compile(
            rf"(?i)\b({_NAME}[\"']?\s*[:=]\s*)"
            r"(?:\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|[^\s&,;\"'}}\])]+)"
        ),
        rf"\1{HIDDEN}",
    ),
)

_SECRET_NAME = re.compile(_NAME, re.IGNORECASE)


def redact_values(found: Any, name: str = "") -> Any:
    """JSON values without what looks like a secret, still JSON values. `name`: of this one."""
    if isinstance(found, Mapping):
        return {key: redact_values(value, str(key)) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [redact_values(value, name) for value in found]
    if isinstance(found, str) and found:
        return HIDDEN if _SECRET_NAME.fullmatch(name) else redact(found)
    return found


def redact(text: str) -> str:
    """`text` without what looks like a secret; better one word too many than a key in a report."""
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text
