"""The routes. Each calls :class:`Access` first, then reads the request, then acts.

Every access leaves an audit record. A read is answered only once its record is on disk; the kill
switch is engaged first and recorded afterwards, since nothing may delay it; a reset is recorded
before and after, so that none goes unrecorded.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel, ValidationError

from tradepulse_runner.admin import schemas
from tradepulse_runner.admin.access import Caller, Operation
from tradepulse_runner.admin.problems import RequestRefused, documented
from tradepulse_runner.admin.schemas import Changed, KillSwitchView, Outcome
from tradepulse_runner.admin.surface import Surface, etag
from tradepulse_runner.config.admin import Scope
from tradepulse_runner.errors import DurabilityLost, StateError

B = TypeVar("B", bound=BaseModel)
router = APIRouter(prefix="/admin")
MAX_BODY = 16 * 1024
_DISK = "look at the runner's disk and log; `tradepulse-runner kill-switch status` reads the latch"
_READ_ERRORS = documented(401, 403, 422, 429, 503)


def _secured(scope: Scope, body: type[BaseModel] | None = None) -> dict[str, Any]:
    """OpenAPI extensions of a route: its scope, and the body that it parses itself."""
    extra: dict[str, Any] = {
        "security": [{"bearer": [scope.value]}, {"clientCertificate": [scope.value]}]
    }
    if body is not None:
        reference = {"$ref": f"#/components/schemas/{body.__name__}"}
        content = {"application/json": {"schema": reference}}
        extra["requestBody"] = {"required": True, "content": content}
    return extra


def _surface(request: Request) -> Surface:
    surface: Surface = request.app.state.surface
    return surface


class Gate:
    """A dependency, resolved before any parameter is validated, so that an unauthorized caller
    learns nothing else."""

    def __init__(self, scope: Scope, operation: Operation) -> None:
        self._scope, self._limits = scope, operation

    async def __call__(self, request: Request) -> Caller:
        return await _surface(request).access.authorize(request, self._scope, self._limits)


Engager = Annotated[Caller, Depends(Gate(Scope.WRITE_SWITCH, Operation.ENGAGE))]
Resetter = Annotated[Caller, Depends(Gate(Scope.WRITE_SWITCH, Operation.RESET))]
SwitchReader = Annotated[Caller, Depends(Gate(Scope.READ_SWITCH, Operation.READ))]
StateReader = Annotated[Caller, Depends(Gate(Scope.READ_STATE, Operation.READ))]


async def _record_access(request: Request, caller: Caller, kind: str) -> Surface:
    """Record a read; the surface once the record is on disk. Raises :class:`RequestRefused`."""
    surface = _surface(request)
    if not await surface.auditor.record(kind, caller.identity, caller.address):
        raise RequestRefused(503, "this access can't be recorded, so nothing is shown", _DISK)
    return surface


@router.get(
    "/kill-switch",
    responses={
        200: {"headers": {"ETag": {"schema": {"type": "string"}, "description": "For If-Match."}}},
        **_READ_ERRORS,
    },
    openapi_extra=_secured(Scope.READ_SWITCH),
    summary="Read the kill switch",
)
async def look_at_kill_switch(
    request: Request, response: Response, caller: SwitchReader
) -> KillSwitchView:
    """Whether it is engaged and why, its history, and orders that could not be cancelled."""
    surface = await _record_access(request, caller, "kill_switch_state_viewed")
    view = surface.switch()
    response.headers["ETag"] = etag(view)
    return view


@router.post(
    "/kill-switch",
    responses=documented(401, 403, 413, 422, 429, 503),
    openapi_extra=_secured(Scope.WRITE_SWITCH, schemas.Engage),
    summary="Engage the kill switch",
)
async def engage_kill_switch(request: Request, caller: Engager) -> Changed:
    """Stops trading and cancels every order. On disk before the answer; safe to repeat:
    `already-engaged` changes nothing, and the first reason stays."""
    surface = _surface(request)
    reason = (await _body(request, schemas.Engage)).reason.strip()
    try:
        fresh = surface.loop.engage_kill_switch_by(reason, by=caller.identity.name)
    except DurabilityLost as error:
        detail = f"trading has stopped, but that is not on disk, a restart would forget it: {error}"
        raise RequestRefused(503, detail, _DISK) from None
    kind = "kill_switch_engaged" if fresh else "kill_switch_reaffirmed"
    recorded = await _record(surface, kind, caller, reason)
    outcome = Outcome.ENGAGED if fresh else Outcome.ALREADY_ENGAGED
    return Changed(outcome=outcome, recorded=recorded, kill_switch=surface.switch())


@router.delete(
    "/kill-switch",
    responses=documented(401, 403, 409, 412, 413, 422, 429, 503),
    openapi_extra=_secured(Scope.WRITE_SWITCH, schemas.Reset),
    summary="Reset the kill switch",
)
async def reset_kill_switch(
    request: Request,
    caller: Resetter,
    if_match: Annotated[
        str | None,
        Header(
            description="ETag of the kill switch as read; it is reset only if it still matches."
        ),
    ] = None,
) -> Changed:
    """Resets it in the caller's name: trading resumes once the venues are reconciled.
    `already-clear` changes nothing, so a retry is safe; with `If-Match` also when it was engaged
    again meanwhile."""
    surface = _surface(request)
    reason = (await _body(request, schemas.Reset)).reason.strip()
    async with surface.latch_lock:
        view = surface.switch()
        if not view.engaged:
            recorded = await _record(surface, "kill_switch_reset_noop", caller, reason)
            return Changed(outcome=Outcome.ALREADY_CLEAR, recorded=recorded, kill_switch=view)
        if if_match is not None and if_match.strip() not in ("*", etag(view)):
            detail = f"the kill switch isn't as it was looked at: engaged for {view.reason!r}"
            raise RequestRefused(412, detail, "look at it again, then reset with its new ETag")
        await _open(surface, caller, reason)
    return Changed(outcome=Outcome.RESET, recorded=True, kill_switch=surface.switch())


async def _open(surface: Surface, caller: Caller, reason: str) -> None:
    if surface.loop.storage_failure:
        raise RequestRefused(
            503, surface.loop.storage_failure, "mend the disk and restart the runner"
        )
    if not await _record(surface, "kill_switch_reset_asked", caller, reason):
        raise RequestRefused(503, "the reset can't be recorded, so it isn't done", _DISK)
    try:
        await asyncio.to_thread(surface.reset, by=caller.identity.name, reason=reason)
    except StateError as error:
        raise RequestRefused(409, str(error), "look at the kill switch, then reset again") from None
    except DurabilityLost as error:
        raise RequestRefused(503, str(error), _DISK) from None
    await _record(surface, "kill_switch_reset", caller, reason)


async def _record(surface: Surface, kind: str, caller: Caller, reason: str) -> bool:
    return await surface.auditor.record(kind, caller.identity, caller.address, reason=reason)


@router.get(
    "/state",
    responses=_READ_ERRORS,
    openapi_extra=_secured(Scope.READ_STATE),
    summary="State of the process",
)
async def look_at_state(request: Request, caller: StateReader) -> schemas.StateView:
    """Release, state and its reason, halt, counts; as in `/status` inside the cluster."""
    return (await _record_access(request, caller, "admin_state_viewed")).state()


@router.get(
    "/positions",
    responses=_READ_ERRORS,
    openapi_extra=_secured(Scope.READ_STATE),
    summary="Positions by venue",
)
async def look_at_positions(request: Request, caller: StateReader) -> schemas.PositionsView:
    """As in the order book; `reconciled` says whether the venue confirmed them."""
    return (await _record_access(request, caller, "admin_positions_viewed")).positions()


@router.get(
    "/orders",
    responses={**_READ_ERRORS, **documented(404)},
    openapi_extra=_secured(Scope.READ_STATE),
    summary="Open orders",
)
async def look_at_orders(
    request: Request,
    caller: StateReader,
    venue: Annotated[
        str | None, Query(max_length=63, description="Only orders of this venue.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Maximum number of orders.")] = 100,
) -> schemas.OrdersView:
    """Queued, resting, or unknown at the venue; oldest first."""
    surface = await _record_access(request, caller, "admin_orders_viewed")
    if venue is not None and venue not in surface.loop.sessions:
        known = ", ".join(surface.loop.sessions) or "none yet"
        raise RequestRefused(404, "this runner has no such venue", f"give one of: {known}")
    return surface.orders(venue, limit)


@router.get(
    "/health",
    responses=_READ_ERRORS,
    openapi_extra=_secured(Scope.READ_STATE),
    summary="Health of the components",
)
async def look_at_health(request: Request, caller: StateReader) -> schemas.HealthView:
    """Loop, disk, audit key. The kubelet's probes are elsewhere, at the `http` port."""
    return (await _record_access(request, caller, "admin_health_viewed")).health()


async def _body(request: Request, model: type[B]) -> B:
    """The request's JSON. Raises :class:`RequestRefused`: 413, 422."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY:
            raise RequestRefused(413, f"the body is larger than {MAX_BODY} bytes", "send less")
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the body"
        remedy = 'send a JSON object {"reason": "who, and why, in one line"}'
        raise RequestRefused(422, f"{field}: {first['msg']}", remedy) from None
