"""The FastAPI application and its OpenAPI document."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from tradepulse_runner.admin import problems, schemas
from tradepulse_runner.admin.problems import RequestRefused
from tradepulse_runner.admin.routes import router
from tradepulse_runner.admin.surface import Surface

DOCUMENT = "/admin/openapi.json"
VERSION = "1.0"


class AdminApp(FastAPI):
    """Adds to the OpenAPI document the two authentication schemes, and the request bodies that the
    routes parse themselves."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            components = document["components"]
            components["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "clientCertificate": {"type": "mutualTLS"},
            }
            for model in (problems.Problem, schemas.Engage, schemas.Reset):
                components["schemas"][model.__name__] = model.model_json_schema()
            for unused in ("HTTPValidationError", "ValidationError"):
                components["schemas"].pop(unused, None)
            self.openapi_schema = document
        return self.openapi_schema


def build(surface: Surface | None = None) -> AdminApp:
    """The application on ``surface``; without one, only to generate the document."""
    app = AdminApp(
        title="TradePulse runner: admin",
        version=VERSION,
        description="Kill switch, state, positions and orders of one trading runner.",
        openapi_url=DOCUMENT,
        # These pages load scripts from third parties.
        docs_url=None,
        redoc_url=None,
    )
    app.state.surface = surface
    app.include_router(router)
    problems.install(app)
    app.add_exception_handler(RequestValidationError, _invalid)
    return app


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """A request parameter that failed validation."""
    assert isinstance(error, RequestValidationError)  # registered for nothing else
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return RequestRefused(
        422, f"{where}: {first['msg']}", "see the document for what may be sent"
    ).response()
