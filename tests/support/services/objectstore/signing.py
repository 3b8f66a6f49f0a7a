"""AWS Signature Version 4, for the two requests about a bucket that the object client lacks.

Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
from urllib.parse import urlsplit


def signed(
    method: str, url: str, body: bytes, *, key: str, secret: str, region: str
) -> dict[str, str]:
    """Headers that authorise this request for a quarter of an hour."""
    parts = urlsplit(url)
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    headers = {"host": parts.netloc, "x-amz-content-sha256": digest, "x-amz-date": now}
    names = ";".join(headers)
    lines = [f"{name}:{value}" for name, value in headers.items()]
    request = "\n".join([method, parts.path, parts.query, *lines, "", names, digest])
    scope = f"{now[:8]}/{region}/s3/aws4_request"
    hashed = hashlib.sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashed}"
    secret_key = f"AWS4{secret}".encode()
    for word in scope.split("/"):
        secret_key = hmac.digest(secret_key, word.encode(), "sha256")
    signature = hmac.digest(secret_key, text.encode(), "sha256").hex()
    credential = f"Credential={key}/{scope}"
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}"
    )
    return headers
