"""Refusals in the shapes that Coinbase uses.

An order or a cancel that is refused is an ordinary answer with ``success: false``; what goes wrong
before that is an HTTP error with ``{"error", "error_details", "message"}``; a bad token gets the
bare text "Unauthorized" (observed in coinbase-advanced-py issues 19, 60, 132).
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web


def compact(body: Any) -> str:
    """Like the venue, without spaces: clients look for substrings (coinbase-advanced-py does)."""
    return json.dumps(body, separators=(",", ":"))


def answer(body: Any, status: int = 200) -> web.Response:
    return web.json_response(body, status=status, dumps=compact)


class ApiError(Exception):
    """Ends a request with an HTTP error in the gateway's shape."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status, self.error, self.message = status, error, message

    def response(self) -> web.Response:
        body = {"error": self.error, "error_details": self.message, "message": self.message}
        return answer(body, self.status)


def bad_request(message: str) -> ApiError:
    return ApiError(400, "INVALID_ARGUMENT", message)


def unknown_order() -> ApiError:
    return ApiError(404, "NOT_FOUND", "order with this orderID was not found")


def missing_scope() -> ApiError:
    return ApiError(403, "unknown", "Missing required scopes")


def unauthorized() -> web.Response:
    return web.Response(status=401, text="Unauthorized\n")


def too_many_requests(retry_after: int, headers: dict[str, str]) -> web.Response:
    body = {"errors": [{"id": "rate_limit_exceeded", "message": "Too many requests"}]}
    refused = answer(body, 429)
    refused.headers.update({"Retry-After": str(retry_after), **headers})
    return refused


def server_error(status: int = 500) -> web.Response:
    return ApiError(status, "INTERNAL", "internal server error").response()
