"""How a request to the Kubernetes API can fail, as far as the caller acts differently."""

from __future__ import annotations

from typing import Any


class KubeError(Exception):
    """A request that failed. `code`: HTTP status, 0 when no answer came. `reason`: CamelCase."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(f"{reason or code}: {message}")
        self.code = code
        self.reason = reason
        self.message = message


class NotFound(KubeError):
    """The object, or its whole kind, isn't there."""


class Conflict(KubeError):
    """A guard (resourceVersion, uid) no longer matches, or the object exists already."""


class Invalid(KubeError):
    """The API server refuses the object as it is; asking again changes nothing."""


class Unavailable(KubeError):
    """No answer in time, too many requests, or a fault of the server; asking again may help."""


def failure(code: int, body: Any, text: str) -> KubeError:
    """The error that an answer with HTTP status `code` stands for.

    `body`: the decoded `Status` object when the answer has one; `text`: the answer otherwise.
    """
    status = body if isinstance(body, dict) else {}
    reason = str(status.get("reason") or "")
    message = str(status.get("message") or text[:300])
    return _type(code)(code, reason, message)


def _type(code: int) -> type[KubeError]:
    if code == 404:
        return NotFound
    if code == 409:
        return Conflict
    if code in (400, 422):
        return Invalid
    if code == 429 or code >= 500:
        return Unavailable
    return KubeError
