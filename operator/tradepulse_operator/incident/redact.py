"""Secrets out of text that somebody else wrote, such as logs.

The runner logs no secrets; a strategy or a library of the user's own may. The text may also be
written to keep whoever searches it busy: it is split into words once, from left to right, and each
word is looked up. Nothing here tries the same character more often than a few times.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "[redacted]"

#: Parts of names, in lower case, and names of which `_` and `-` are taken out first.
_SECRET = (
    "secret",
    "token",
    "passwd",
    "password",
    "passphrase",
    "signature",
    "dsn",
    "credential",
)
_SECRET_KEY = ("apikey", "accesskey", "privatekey", "listenkey")
#: Names that are too short to be searched for within others.
_SECRET_WORDS = frozenset({"pwd", "pass", "sign", "cookie"})
_SCHEMES = frozenset({"bearer", "basic"})
#: Lines longer than this are cut: their names come before their values.
LONGEST_LINE = 4096
_LONGEST_PEM = 16 * 1024
#: Characters that the note on what was left out may have.
_NOTE = 100
_BEGIN, _END = "-----BEGIN ", "-----END "

# Each pattern is one class repeated, or several that exclude one another: none can be tried twice.
_WORD = re.compile(r"[\w.-]+")
_ASSIGNED = re.compile(r"\\{0,2}[\"']?[^\S\n]{0,64}(?:[:=]|->)[^\S\n]{0,64}")
_LISTED = re.compile(r"\\{0,2}[\"'],[^\S\n]{0,64}(?=\\{0,2}[\"'])")
_BARE = re.compile(r"[^\s&,;\"'}\])]+")
_REST_OF_HEADER = re.compile(r"[\"']?[^\n,;\"'}]+[\"']?")
_AFTER_SCHEME = re.compile(r"\s{1,64}[A-Za-z0-9._~+/=-]{8,}")
_QUOTE = re.compile(r"\\{0,2}[\"']")
_USER = re.compile(r"://[^/\s:@]{0,512}:[^/\s@]{1,512}@")
_AWS = re.compile(r"(?:AKIA|ASIA)[A-Z0-9]{16}")


def redact_values(node: Any, name: str = "") -> Any:
    """JSON values without what looks like a secret, still JSON values. `name`: of this one."""
    if isinstance(node, Mapping):
        return {key: redact_values(value, str(key)) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [redact_values(value, name) for value in node]
    if isinstance(node, str) and node:
        return HIDDEN if _WORD.fullmatch(name) and _is_secret(name) else redact(node)
    return node


def redact(text: str) -> str:
    """`text` without what looks like a secret; better one word too many than a key in a report."""
    text = _USER.sub(f"://{HIDDEN}@", _without_pem(text))
    kept: list[str] = []
    at = 0
    while (word := _WORD.search(text, at)) is not None:
        kept += (text[at : word.start()], _without_key(word.group()))
        at = word.end()
        hidden = _value(text, word.group(), at)
        if hidden is not None:
            start, at = hidden
            kept += (text[word.end() : start], HIDDEN)
    return "".join((*kept, text[at:]))


def shortened(text: str, limit: int) -> str:
    """The last whole lines of `text` that fit into `limit` characters, without private keys, each
    line cut at its end: what is searched for secrets is bounded before it is searched."""
    text, note = _without_pem(text), ""
    if len(text) > limit:
        # The beginning of a line names what its end contains: half a line is none.
        kept = text[-max(1, limit - _NOTE) :].partition("\n")[2]
        left = len(text) - len(kept)
        note = f"[truncated: the first {left} of {len(text)} characters left out]\n"
        text = kept
    return note + "\n".join(_line(line) for line in text.split("\n"))


def _line(line: str) -> str:
    if len(line) <= LONGEST_LINE:
        return line
    return f"{line[:LONGEST_LINE]} [{len(line) - LONGEST_LINE} more characters left out]"


def _without_pem(text: str) -> str:
    """Without private keys and certificates; one that doesn't end is cut off after 16 KiB."""
    kept: list[str] = []
    at = 0
    while (begin := text.find(_BEGIN, at)) >= 0:
        room = begin + _LONGEST_PEM
        end = text.find(_END, begin, room)
        if end >= 0:
            close = text.find("-----", end + len(_END), end + 128)
            end = end + len(_END) if close < 0 else close + 5
        else:
            end = min(room, len(text))
        kept += (text[at:begin], HIDDEN)
        at = end
    return "".join((*kept, text[at:]))


def _without_key(word: str) -> str:
    """A word that is a key of a known shape by itself: of AWS, or a JSON web token."""
    if _AWS.fullmatch(word):
        return HIDDEN
    start = word.find("eyJ")
    if start > 0 and word[start - 1] not in ".-":
        return word
    parts = word[start:].split(".", 3) if start >= 0 else []
    if len(parts) < 3 or len(parts[0]) < 11 or len(parts[1]) < 8:
        return word
    return word[:start] + ".".join((HIDDEN, *parts[3:]))


def _value(text: str, word: str, at: int) -> tuple[int, int] | None:
    """Where the secret begins and ends that follows `word`, which ends at `at`; None: none does."""
    lower = word.lower()
    if lower in _SCHEMES:
        match = _AFTER_SCHEME.match(text, at)
        return None if match is None else (at + 1, match.end())
    header = lower.endswith("authorization")
    if not header and not _is_secret(word):
        return None
    between = _ASSIGNED.match(text, at) or (None if header else _LISTED.match(text, at))
    if between is None:
        return None
    start = between.end()
    if text.startswith(HIDDEN, start):
        return start, start + len(HIDDEN)
    if header:
        rest = _REST_OF_HEADER.match(text, start)
        return None if rest is None else (start, rest.end())
    return _quoted(text, start) or _bare(text, start)


def _bare(text: str, start: int) -> tuple[int, int] | None:
    match = _BARE.match(text, start)
    return None if match is None else (start, match.end())


def _quoted(text: str, start: int) -> tuple[int, int] | None:
    """A value in quotes, which may be escaped themselves; without an end it ends with the line."""
    opening = _QUOTE.match(text, start)
    if opening is None:
        return None
    quote = opening.group()
    line = text.find("\n", opening.end())
    line = len(text) if line < 0 else line
    at = opening.end()
    while (end := text.find(quote, at, line)) >= 0:
        if len(quote) > 1 or not _escaped(text, end, opening.end()):
            return start, end + len(quote)
        at = end + 1
    return start, line


def _escaped(text: str, at: int, begin: int) -> bool:
    """Whether an odd number of backslashes comes before `at`."""
    first = at
    while first > begin and text[first - 1] == "\\":
        first -= 1
    return (at - first) % 2 == 1


def _is_secret(name: str) -> bool:
    lower = name.lower()
    if any(part in lower for part in _SECRET):
        return True
    joined = lower.replace("_", "").replace("-", "")
    if any(part in joined for part in _SECRET_KEY):
        return True
    return not _SECRET_WORDS.isdisjoint(re.split(r"[._-]", lower))
