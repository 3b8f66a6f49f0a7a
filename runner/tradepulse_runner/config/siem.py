"""The configuration's ``admin.siem``: receiver of audit records, and its token server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

#: Without credentials and query: addresses are logged, secrets must not be.
Url = Annotated[
    str, StringConstraints(max_length=1024, pattern=r"^https://[^/?#@\s]+(/[^?#\s]*)?$")
]


class SiemConfig(BaseModel):
    """A receiver of batches of audit records over HTTPS.

    ``endpoint`` takes them; ``token_url`` gives the token (OAuth2 client credentials, RFC 6749
    section 4.4) to ``client_id``, whose secret the environment names. ``ca_file``: the authorities
    to trust instead of the system's. ``batch``: records at once; ``timeout``: seconds of a request.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: Url
    token_url: Url
    client_id: Annotated[str, Field(min_length=1, max_length=512)]
    scope: Annotated[str, StringConstraints(max_length=512, pattern=r"^[\x21-\x7e ]*$")] = ""
    ca_file: Path | None = None
    batch: Annotated[int, Field(ge=1, le=1000)] = 200
    timeout: Annotated[float, Field(ge=0.1, le=60, allow_inf_nan=False)] = 10.0
