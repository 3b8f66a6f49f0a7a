"""Where backups and incident reports are copied to: an S3 bucket."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field

from tradepulse_operator.api.base import Model, matches, required
from tradepulse_operator.api.units import ObjectName

Endpoint = Annotated[
    str,
    Field(max_length=253),
    matches(
        r"^https://[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[1-9][0-9]{0,4})?$",
        "not an https address: write e.g. https://s3.eu-central-1.amazonaws.com, without a path",
    ),
]
Bucket = Annotated[
    str,
    Field(max_length=63),
    matches(
        r"^[a-z0-9][-a-z0-9.]{1,61}[a-z0-9]$",
        "not the name of a bucket: write 3 to 63 lower-case letters, digits, '-' and '.', beginning"
        " and ending with a letter or digit",
    ),
]
Region = Annotated[
    str,
    Field(max_length=63),
    matches(r"^[a-z0-9]+(-[a-z0-9]+)*$", "not a region: write e.g. eu-central-1"),
]
Prefix = Annotated[
    str,
    Field(max_length=256),
    matches(
        r"^([A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)?$",
        "not a folder: write letters, digits, '-', '_' and '.', parts joined by '/', e.g. desk/btc",
    ),
]


class ObjectStore(Model):
    """An S3 bucket. While it is down nothing waits for it: what it lacks is copied later."""

    endpoint: Endpoint = Field(
        description="The server's https address, without a path.",
        json_schema_extra=required(
            "write the server's address, e.g. https://s3.eu-central-1.amazonaws.com"
        ),
    )
    bucket: Bucket = Field(
        description="Name of the bucket; it should keep versions.",
        json_schema_extra=required("name the bucket, which should keep versions"),
    )
    region: Region = Field(default="us-east-1", description="Region of the bucket.")
    prefix: Prefix = Field(
        default="",
        description="Folder of the bucket; below it namespace and name of the runner.",
    )
    credentials_secret: ObjectName = Field(
        description="Secret with the keys S3_API_KEY (access key id) and S3_API_SECRET; mounted as"
        " files, never read by the operator.",
        json_schema_extra=required("name the Secret that holds S3_API_KEY and S3_API_SECRET"),
    )
    ca_secret: ObjectName | None = Field(
        default=None,
        description="Secret whose key ca.crt holds authorities to trust besides the system's.",
    )

    @property
    def port(self) -> int:
        """Where the server listens."""
        return urlsplit(self.endpoint).port or 443
