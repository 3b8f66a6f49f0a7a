"""The import contracts name every client that the operator really has."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import packages_distributions
from typing import Any

from tests.support.images.catalog import ROOT

PACKAGE = "tradepulse_operator"
#: The packages that talk to others; everything else is pure.
OUTER = {"clients", "manager", "cli"}
#: Packages that alone may import kopf.
WATCHING = {"manager", "cli"}
#: Of the operator's extra: calculates, and talks to nobody.
PURE = {"cronsim"}

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def packages() -> set[str]:
    folder = ROOT / "operator" / PACKAGE
    return {each.parent.name for each in folder.glob("*/__init__.py")}


def contracts(forbidden: str) -> list[dict[str, Any]]:
    """The contracts that keep packages of the operator from importing `forbidden`."""
    every = PROJECT["tool"]["importlinter"]["contracts"]
    return [
        each
        for each in every
        if each["type"] == "forbidden" and forbidden in each["forbidden_modules"]
    ]


def sources(forbidden: str) -> set[str]:
    return {
        source.removeprefix(f"{PACKAGE}.")
        for contract in contracts(forbidden)
        for source in contract["source_modules"]
    }


def clients() -> set[str]:
    """What `import` calls the libraries of the operator's extra that talk to others."""
    extra = PROJECT["project"]["optional-dependencies"]["operator"]
    names = {re.split(r"[<>=~!\[; ]", each)[0].lower() for each in extra} - PURE
    found = {
        module
        for module, owners in packages_distributions().items()
        if names & {owner.lower() for owner in owners} and not module.startswith("_")
    }
    assert len(found) >= len(names)
    return found


def test_the_pure_core_may_import_no_client_that_is_installed() -> None:
    for client in clients():
        assert sources(client) >= packages() - OUTER, client


def test_the_pure_core_may_not_wait_or_connect() -> None:
    for module in ("asyncio", "http", "socket", "ssl", "subprocess", "threading"):
        assert sources(module) >= packages() - OUTER, module


def test_one_package_imports_kopf() -> None:
    assert sources("kopf") == packages() - WATCHING


def test_what_the_operator_does_not_import_is_not_in_its_image() -> None:
    text = "\n".join(path.read_text() for path in (ROOT / "operator" / PACKAGE).rglob("*.py"))
    imported = set(re.findall(r"^\s*(?:from|import) (\w+)", text, re.MULTILINE))
    assert clients() | PURE <= imported
