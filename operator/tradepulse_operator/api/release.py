"""What a release is: an image and the exact configuration that it runs with."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import Model, rule

IMAGE_RULES = (
    rule(
        r"self.image.matches('^[^@\\s]+(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?@sha256:[a-f0-9]{64}$')"
        r" || self.image.matches('^[^@\\s]*[^/@:\\s]:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$')",
        "release.image needs a tag or a digest: write name:1.2.3 or name@sha256:…",
        ".image",
    ),
    rule(
        "!self.image.matches(':latest(@.*)?$')",
        "release.image must not be :latest, which names another image tomorrow:"
        " write the release's own tag or its digest",
        ".image",
    ),
)


class ReleaseSpec(Model):
    """The release that is wanted."""

    cel = IMAGE_RULES

    image: Annotated[str, Field(min_length=1, max_length=512)] = Field(
        description="Image of the runner, by tag or by digest; `latest` is refused."
    )
    config: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
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

    id: str = Field(description="Hash of image and configuration: the release's identity.")
    image: str = Field(description="Image as it was asked for.")
    image_id: str | None = Field(
        default=None, description="Digest that the node resolved the image to."
    )
    config_map: str = Field(description="The immutable ConfigMap that holds its configuration.")
    config_hash: str = Field(description="SHA-256 of the rendered configuration, shortened.")
    cold_start: bool = Field(default=False, description="Whether it started cold.")
    credentials: Annotated[dict[str, str], Field(max_length=8)] = Field(
        default={},
        description="Secret with the credentials of each venue; a rollback needs the old ones.",
    )
