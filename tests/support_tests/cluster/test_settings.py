"""What names, versions and keys the cluster's parts agree on."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from tests.support.cluster import settings


def test_every_range_is_inside_the_guarded_one_and_none_overlaps() -> None:
    guarded = ipaddress.ip_network(settings.GUARDED_RANGE)
    ranges = [
        ipaddress.ip_network(text)
        for text in (
            settings.POD_RANGE,
            settings.NODE_RANGE,
            settings.SPARE_RANGE,
            settings.SERVICE_RANGE,
        )
    ]
    assert all(network.subnet_of(guarded) for network in ranges)  # type: ignore[arg-type]
    pairs = [(a, b) for a in ranges for b in ranges if a is not b]
    assert not [pair for pair in pairs if pair[0].overlaps(pair[1])]


def test_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRADEPULSE_CACHE", str(tmp_path))
    paths = settings.Paths.default()
    assert paths.go_cache == tmp_path / "go-build"
    assert paths.runtime_state != settings.Paths(paths.root, tmp_path / "other").runtime_state


@pytest.mark.parametrize(
    ("go_mod", "version"),
    [
        ("require (\n\texample.org/a v1.2.3\n)\n", "v1.2.3"),
        ("require example.org/a v1.2.3 // indirect\n", "v1.2.3"),
        ("require example.org/a/b v9.9.9\nrequire example.org/a v1.2.3\n", "v1.2.3"),
    ],
)
def test_version_is_read_from_go_mod(go_mod: str, version: str) -> None:
    assert settings.module_version("example.org/a", go_mod) == version


def test_a_module_that_go_mod_lacks_is_an_error() -> None:
    with pytest.raises(LookupError, match=r"example\.org/none"):
        settings.module_version("example.org/none", "module x\n")


def test_key_changes_with_content_and_only_then(tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_text("one")
    first = settings.inputs_key(tmp_path, "flag")
    assert settings.inputs_key(tmp_path, "flag") == first
    assert settings.inputs_key(tmp_path, "other") != first
    file.write_text("two")
    assert settings.inputs_key(tmp_path, "flag") != first
