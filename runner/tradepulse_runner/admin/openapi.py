"""Writes the OpenAPI document: ``python -m tradepulse_runner.admin.openapi FILE [--check]``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tradepulse_runner.admin.app import build


def document() -> str:
    """The OpenAPI document, as it is published at ``/admin/openapi.json``."""
    return json.dumps(build().openapi(), indent=2, sort_keys=True) + "\n"


def main(arguments: list[str]) -> int:
    """Write FILE, or, with ``--check``, exit 1 when it differs."""
    check = "--check" in arguments
    files = [Path(each) for each in arguments if each != "--check"]
    if len(files) != 1:
        print("usage: python -m tradepulse_runner.admin.openapi FILE [--check]", file=sys.stderr)
        return 2
    path = files[0]
    if not check:
        path.write_text(document(), encoding="utf-8")
        return 0
    if path.exists() and path.read_text(encoding="utf-8") == document():
        return 0
    print(f"{path} is not what the routes say: run it without --check", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
