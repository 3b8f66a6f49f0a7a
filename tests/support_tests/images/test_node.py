"""Reading what containerd in the node holds."""

from __future__ import annotations

from tests.support.images.node import parse_listing


def test_listing_gives_the_digest_of_each_configuration() -> None:
    text = (
        "tradepulse.local/runner:1.0.0\n"
        '{"schemaVersion": 2, "config": {"digest": "sha256:abc"}, "layers": []}\n'
        "tradepulse.local/operator:0.1.0\n"
        '{"schemaVersion": 2, "config": {"digest": "sha256:def"}, "layers": []}\n'
    )
    assert parse_listing(text) == {
        "tradepulse.local/runner:1.0.0": "abc",
        "tradepulse.local/operator:0.1.0": "def",
    }


def test_an_image_without_content_counts_as_missing() -> None:
    assert parse_listing("tradepulse.local/runner:1.0.0\n\n") == {}
