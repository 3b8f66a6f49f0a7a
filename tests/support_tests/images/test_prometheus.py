"""Versions of Prometheus as its module tells them."""

from __future__ import annotations

import pytest

from tests.support.images import prometheus


@pytest.mark.parametrize(
    ("module", "release"),
    [("v0.305.0", "v3.5.0"), ("v0.311.3", "v3.11.3")],
)
def test_release_of_a_module_version(
    module: str, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus, "module", lambda: module)
    assert prometheus.version() == release


def test_our_go_mod_names_it() -> None:
    assert prometheus.version().startswith("v3.")
