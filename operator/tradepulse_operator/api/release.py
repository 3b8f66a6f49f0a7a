"""What a release is: an image and the exact configuration that it runs with."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

from .base import Model, Rule, required, rule
from .units import ObjectName, Text

_PATH = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_TAG = r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
#: Source: the grammar of github.com/distribution/reference.
_REFERENCE = (
    rf"^([A-Za-z0-9][-.A-Za-z0-9]*(:[0-9]{{1,5}})?/)?{_PATH}(/{_PATH})*({_TAG})?"
    r"(@sha256:[a-f0-9]{64})?$"
)
_PINNED = rf"{_TAG}$"  # the end of a digest looks like a tag
_LATEST = r":latest(@.*)?$"


def _image(pattern: str, message: str, *, refuse: bool = False) -> Rule:
    compiled = re.compile(pattern, re.ASCII)
    return rule(
        f"{'!' if refuse else ''}self.image.matches(r'{pattern}')",
        f"release.image {message}",
        ".image",
        holds=lambda release: bool(compiled.search(release.image)) is not refuse,
        needs=["image"],
    )


IMAGE_RULES = (
    _image(_REFERENCE, "is not the name of an image: write e.g. registry.example.com/runner:1.2.3"),
    _image(_PINNED, "needs a tag or a digest: write name:1.2.3 or name@sha256:…"),
    _image(
        _LATEST,
        "must not be :latest, which names another image tomorrow: write the release's own tag or"
        " its digest",
        refuse=True,
    ),
)


class ReleaseSpec(Model):
    """The release that is wanted."""

    cel = IMAGE_RULES

    image: Annotated[str, Field(min_length=1, max_length=512)] = Field(
        description="Image of the runner, by tag or by digest; `latest` is refused.",
        json_schema_extra=required("name the image of the runner by tag or digest"),
    )
    config: ObjectName | None = Field(
        default=None,
        description="Name of a ConfigMap in the same namespace whose key `runner.yaml` gives the"
        " runner's settings that this resource has no field for (loop intervals, strategy"
        " parameters). Its content is part of the release: a changed content is a new release.",
    )
    cold_start: bool = Field(
        default=False,
        description="Start without the state on disk: everything is read from the venue and no"
        " order of before is sent again.",
    )


class Release(Model):
    """A release as it was resolved and rendered; what status speaks of."""

    id: Text = Field(description="Hash of image and configuration: the release's identity.")
    image: Text = Field(description="Image as it was asked for.")
    image_id: Text | None = Field(
        default=None, description="Digest that the node resolved the image to."
    )
    config_map: Text = Field(description="The immutable ConfigMap that holds its configuration.")
    config_hash: Text = Field(description="SHA-256 of the rendered configuration, shortened.")
    cold_start: bool = Field(default=False, description="Whether it started cold.")
    credentials: Annotated[dict[str, Text], Field(max_length=8)] = Field(
        default={},
        description="Secret with the credentials of each venue; a rollback needs the old ones.",
    )
    secrets: Annotated[dict[str, Text], Field(max_length=16)] = Field(
        default={},
        description="Secret of each optional service that it speaks to, by the folder it is mounted"
        " at.",
    )
