"""Errors as ``application/problem+json`` (RFC 9457), each with a ``remedy``."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """Why a request wasn't done, and what helps."""

    title: str = Field(description="The kind of problem, in a few words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong with this request.")
    remedy: str = Field(description="What to do about it.")


class RequestRefused(Exception):
    """Ends a request with a problem response."""

    def __init__(
        self, status: int, detail: str, remedy: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.remedy = status, detail, remedy
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        body = Problem(
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            remedy=self.remedy,
        )
        return JSONResponse(
            body.model_dump(), self.status, headers=self.headers, media_type=MEDIA_TYPE
        )


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """``responses`` of a route that may end with these problems."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses: dict[int | str, dict[str, Any]] = {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in statuses
    }
    if 429 in responses:
        retry = {"description": "Seconds until the next attempt.", "schema": {"type": "integer"}}
        responses[429]["headers"] = {"Retry-After": retry}
    return responses


def install(app: FastAPI) -> None:
    """Answer every error of ``app`` as a problem."""
    app.add_exception_handler(RequestRefused, _refused)
    app.add_exception_handler(HTTPException, _http)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestRefused)  # registered for nothing else
    return error.response()


async def _http(request: Request, error: Exception) -> JSONResponse:
    """Errors of the framework: unknown paths and methods."""
    assert isinstance(error, HTTPException)
    remedy = f"see {request.scope.get('root_path', '')}/admin/openapi.json for what there is"
    detail = f"{request.method} {request.url.path}: {error.detail}"
    headers = dict(error.headers or {})
    if error.status_code == 405:
        # The framework names the methods of one route; a path may have several.
        there = request.app.openapi()["paths"].get(request.url.path, {})
        headers["Allow"] = ", ".join(sorted(method.upper() for method in there)) or "GET"
    return RequestRefused(error.status_code, detail, remedy, headers).response()
