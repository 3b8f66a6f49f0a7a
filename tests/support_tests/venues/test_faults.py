"""When faults strike, and what a stream passes on under them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.venues.faults import STREAM, Fault, FaultKind, Faults, Outlet


def test_a_fault_strikes_its_occasion_after_some_and_so_many_times() -> None:
    faults = Faults()
    faults.add(Fault(on="place", kind="throttle", after=1, times=2))
    struck = [faults.take("place") is not None for _ in range(5)]
    assert struck == [False, True, True, False, False]
    assert len(faults.fired) == 2


def test_a_fault_leaves_other_occasions_alone() -> None:
    faults = Faults()
    faults.add(Fault(on="cancel", kind="throttle"))
    assert faults.take("place") is None
    assert faults.take(STREAM) is None
    assert faults.take("cancel", FaultKind.BAN) is None
    assert faults.take("cancel") is not None


def test_a_fault_on_any_request_strikes_all_but_streams_until_cleared() -> None:
    faults = Faults()
    faults.add(Fault(on="any", kind="delay", times=-1))
    assert faults.take(STREAM) is None
    assert all(faults.take(on) for on in ("place", "query", "market"))
    faults.clear()
    assert faults.take("place") is None


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        ({"on": "lunch", "kind": "delay"}, "place"),
        ({"on": "place", "kind": "drop_fills"}, "throttle"),
        ({"on": "stream", "kind": "throttle"}, "cut_stream"),
        ({"on": "place", "kind": "delay", "wrong": 1}, "wrong"),
        ({"kind": "delay"}, "on"),
    ],
)
def test_a_fault_that_cannot_be_says_what_can(raw: dict[str, Any], names: str) -> None:
    with pytest.raises(ValueError, match=names):
        Fault.parse(raw)


@pytest.mark.parametrize(
    ("kind", "out"),
    [
        (None, ["a", "fill", "b"]),
        ("drop_fills", ["a", "b"]),
        ("reorder_stream", ["fill", "a", "b"]),
        ("duplicate_ack", ["a", "a", "fill", "b"]),
    ],
)
def test_streams(kind: str | None, out: list[str]) -> None:
    faults = Faults()
    if kind:
        faults.add(Fault(on="stream", kind=kind))
    outlet: Outlet[str] = Outlet(faults)
    sent = [m for word in ("a", "fill", "b") for m in outlet.pass_on(word, fill=word == "fill")]
    assert sent == out
