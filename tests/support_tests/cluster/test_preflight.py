"""Each reason for refusal is one sentence that holds its remedy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import preflight
from tests.support.cluster.cgroups import Cgroups, Mode
from tests.support.cluster.preflight import GIB, Machine

FIT = Machine(
    uid=0,
    system="Linux",
    apt=True,
    missing_packages=("podman",),
    go=False,
    pip=True,
    cold=True,
    free_disk=40 * GIB,
    memory=8 * GIB,
    cache=Path("/cache"),
    cgroups=Cgroups(Mode.V2, frozenset({"cpu", "memory", "pids"}), ()),
    networks={"eth0": ["10.0.0.0/24"], "lo": ["127.0.0.0/8"]},
)


def test_a_fit_machine_has_no_problems() -> None:
    assert preflight.problems(FIT) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"uid": 1000}, "run it with sudo"),
        ({"system": "Darwin"}, "use a virtual machine"),
        ({"apt": False}, "missing: podman; there is no apt-get here"),
        ({"pip": False}, "install Go, or pip"),
        ({"free_disk": 2 * GIB}, "point TRADEPULSE_CACHE elsewhere"),
        ({"free_disk": 3 * GIB, "cold": False}, "3.0 GiB free of the 4 needed"),
        ({"memory": GIB}, "1.0 GiB of memory, 3 needed"),
        (
            {"cgroups": Cgroups(Mode.V1, frozenset({"cpu"}), ())},
            "cgroup controllers not mounted: memory, pids",
        ),
        ({"networks": {"wg0": ["198.18.4.0/24"]}}, "wg0 uses 198.18.4.0/24"),
    ],
)
def test_each_problem_is_one_sentence_with_a_remedy(change: dict[str, Any], said: str) -> None:
    found = preflight.problems(replace(FIT, **change))
    assert len(found) == 1
    assert said in found[0]
    assert "\n" not in found[0]


def test_several_problems_are_reported_at_once() -> None:
    assert len(preflight.problems(replace(FIT, uid=1, memory=GIB))) == 2
