"""A chain of hashes over the parts of a report: a part that was changed later shows.

Each link's hash covers the link before it, so the head vouches for all. It proves that a report is
whole and as it was filed to whoever noted the head elsewhere (the operator logs it); it doesn't
prove who wrote it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

Link = dict[str, Any]


def sha256(text: str) -> str:
    """SHA-256 of `text` in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def extend(links: list[Link], stage: str, parts: Mapping[str, str]) -> list[Link]:
    """`links` with one for every part that is new or changed; in the order of their names."""
    last = {link["part"]: link["sha256"] for link in links}
    chain = list(links)
    for part in sorted(parts):
        digest = sha256(parts[part])
        if last.get(part) == digest:
            continue
        link: Link = {
            "part": part,
            "stage": stage,
            "bytes": len(parts[part].encode("utf-8", "replace")),
            "sha256": digest,
        }
        chain.append({**link, "chain": _seal(chain[-1]["chain"] if chain else "", link)})
    return chain


def broken(links: list[Link], parts: Mapping[str, str]) -> str:
    """What is inconsistent: a message, or "" when every part is as its newest link says."""
    before = ""
    newest: dict[str, str] = {}
    for link in links:
        body = {key: value for key, value in link.items() if key != "chain"}
        if link["chain"] != _seal(before, body):
            return f"the chain breaks at {link['part']}"
        before, newest[link["part"]] = link["chain"], link["sha256"]
    for part, digest in newest.items():
        if part not in parts:
            return f"{part} is missing"
        if sha256(parts[part]) != digest:
            return f"{part} was changed"
    extra = sorted(set(parts) - set(newest))
    return f"{extra[0]} was added" if extra else ""


def _seal(before: str, link: Link) -> str:
    return sha256(before + json.dumps(link, sort_keys=True, separators=(",", ":")))
