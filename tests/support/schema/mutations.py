"""Manifests with faults: valid ones (manifests/samples) with values replaced, dropped or added."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hypothesis import strategies as st

Manifest = dict[str, Any]
Place = tuple[str | int, ...]

SAMPLES = Path(__file__).parents[3] / "manifests" / "samples"

#: Put wherever something is: right here, wrong there.
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    7,
    0.05,
    1.5,
    10**6,
    2**53,
    2**64,
    -0.0,
    1e-12,
    "",
    " ",
    "x",
    "5",
    "0",
    "0.00",
    "0.05",
    "1000000",
    "1.0000000001",
    "0s",
    "500ms",
    "1s",
    "5m",
    "2h",
    "5 minutes",
    "0 6 * * 1",
    "*/5 9-17 1,15 * 1-5",
    "0 6 * * 5-1",
    "0 6 31 * *",
    "1Gi",
    "0Gi",
    "64Mi",
    "100m",
    "a-name",
    "A_Name",
    "dotted.name",
    "-",
    "repo:latest",
    "repo:1.2.3",
    "repo",
    "localhost:5000/repo",
    "REPO:1",
    f"repo@sha256:{'a' * 64}",
    f"repo:latest@sha256:{'a' * 64}",
    f"repo@sha256:{'a' * 63}",
    "BTC-USD",
    "http://prometheus:9090",
    "ftp://prometheus",
    "http://with space",
    "two\nlines",
    "tab\there",
    "\x00",
    "no-break\u00a0space",
    "https://siem.example.com/audit",
    "CN=ada,O=desk",
    "192.0.2.0/24",
    "192.0.2.0/33",
    "\U0001f680" * 8,
    "٣",
    "ends with a line break\n",
    "paper",
    "binance",
    "Exists",
    "Equal",
    "NoExecute",
    "Live",
    "Manual",
    "Keep",
    "ReadWriteOnce",
    "Rollback",
    "é" * 32,
    "a" * 52,
    "a" * 53,
    "a" * 63,
    "a" * 64,
    "a" * 254,
    "a" * 5000,
    {},
    {"a": "b"},
    {"a b": "c"},
    {"a": 1},
    {"a": None},
    {"example.com/a": ""},
    [],
    [None],
    ["a"],
    ["BTC-USD", "BTC-USD"],
    ["a"] * 65,
    [{"name": "a"}],
    [{"name": "a", "query": "x", "max": 1}],
    [{"name": "a", "query": "x", "max": 1}, {"name": "a", "query": "y", "min": 1}],
    [{"name": "a", "connector": "paper", "symbols": ["X"]}],
    [{"name": "image"}],
    [{"name": "image"}, {"name": "image"}],
    [{"name": "a", "manual": "b"}],
    [{"check": "config", "by": "a", "reason": "b"}],
    [{"check": "volume", "by": "a", "reason": "b"}],
    [{"operator": "Exists"}],
    [{"operator": "Exists", "value": "x"}],
    [{}],
)
#: Names of the object itself.
NAMES = (
    "a",
    "a" * 52,
    "a" * 53,
    "a" * 243,
    "a" * 244,
    "a" * 254,
    "1a",
    "a.b",
    "A",
    "-a",
    "a_b",
    "",
)


class Mutation(NamedTuple):
    """One fault. `kind`: set (to `value`), drop, or add (a field that the API doesn't have)."""

    kind: str
    place: Place
    value: Any = None

    def __str__(self) -> str:
        shown = repr(self.value)
        cut = shown if len(shown) < 60 else f"{shown[:57]}…"
        return f"{self.kind} {'.'.join(map(str, self.place))}" + (
            f" = {cut}" if self.kind == "set" else ""
        )


def samples() -> dict[str, Manifest]:
    """Every sample by file name."""
    return {path.stem: yaml.safe_load(path.read_text()) for path in sorted(SAMPLES.glob("*.yaml"))}


def places(value: Any, at: Place) -> Iterator[Place]:
    """Where `value` and everything in it stands."""
    yield at
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in pairs:
            yield from places(each, (*at, key))


def single(manifest: Manifest) -> Iterator[Mutation]:
    """Every mutation of a manifest, one at a time."""
    for place in places(manifest["spec"], ("spec",)):
        yield Mutation("drop", place)
        if isinstance(look(manifest, place), dict):
            yield Mutation("add", place)
        yield from (Mutation("set", place, value) for value in VALUES)
    yield from (Mutation("set", ("metadata", "name"), name) for name in NAMES)


def look(manifest: Any, place: Place) -> Any:
    """What stands there. Raises KeyError, IndexError or TypeError when nothing does."""
    for key in place:
        manifest = manifest[key]
    return manifest


def mutate(manifest: Manifest, *mutations: Mutation) -> Manifest:
    """A copy with these faults; one whose place an earlier fault removed changes nothing."""
    found = copy.deepcopy(manifest)
    for kind, place, value in mutations:
        try:
            parent = look(found, place[:-1])
            if kind == "set":
                parent[place[-1]] = copy.deepcopy(value)
            elif kind == "drop":
                del parent[place[-1]]
            else:
                look(found, place)["unknownField"] = 1
        except (KeyError, IndexError, TypeError):
            continue
    return found


@st.composite
def faulty(draw: st.DrawFn) -> Manifest:
    """A sample with one to five faults at once."""
    base = draw(st.sampled_from(list(samples().values())))
    options = list(single(base))
    return mutate(base, *draw(st.lists(st.sampled_from(options), min_size=1, max_size=5)))
