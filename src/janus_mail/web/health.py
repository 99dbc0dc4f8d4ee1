"""For what watches us: `/healthz` whether the process lives, `/readyz` whether it can work, `/metrics` how it does."""

import asyncio
from collections.abc import Sequence
from typing import Final, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, Metric, generate_latest
from pydantic import BaseModel, ConfigDict, Field
from redis.asyncio import Redis
from sqlalchemy.exc import DBAPIError
from starlette.datastructures import State

from janus_mail.errors import NotFound
from janus_mail.storage.database import CONNECTION_LOST
from janus_mail.storage.migrate import is_migrated
from janus_mail.storage.redis import REDIS_AWAY
from janus_mail.telemetry.metrics import WORKERS_OWN, registry_with
from janus_mail.watch import gauges
from janus_mail.web.client_address import through_proxy
from janus_mail.web.context import Context
from janus_mail.web.errors import REQUEST_ID_HEADER, responses

_PATIENCE_S: Final = 2
_AWAY: Final[tuple[type[BaseException], ...]] = (*CONNECTION_LOST, DBAPIError)


class Liveness(BaseModel):
    """The process answers."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok"}]})

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """What the process needs, and how each of it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ready": True, "database": "ok", "redis": "ok"}]})

    ready: bool = Field(description="Whether requests can be answered.")
    database: Literal["ok", "unreachable", "not migrated"]
    redis: Literal["ok", "unreachable", "not configured"] = Field(
        description="Reported, not required: without it events are accepted and delivered all the same."
    )


router = APIRouter(tags=["Health"])


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", summary="Whether the process lives", responses={200: {"headers": REQUEST_ID_HEADER}})
async def is_alive() -> Liveness:
    """Whether the process lives. Asks nothing of the database: restarting us would not bring it back."""
    return Liveness()


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    summary="Whether it can work",
    responses={
        200: {"headers": REQUEST_ID_HEADER},
        503: {
            "model": Readiness,
            "description": "Something that is required is missing.",
            "headers": REQUEST_ID_HEADER,
            "content": {"application/json": {"example": {"ready": False, "database": "unreachable", "redis": "ok"}}},
        },
    },
)
async def is_ready(request: Request, response: Response) -> Readiness:
    """Whether PostgreSQL can be reached and has our tables, and how Redis is."""
    state = request.app.state
    database, redis = await asyncio.gather(_database(state), _redis(state.redis))
    if database != "ok":
        response.status_code = 503
    return Readiness(ready=database == "ok", database=database, redis=redis)


@router.get(
    "/metrics",
    summary="Read the metrics",
    response_class=PlainTextResponse,
    responses={
        200: {
            "headers": REQUEST_ID_HEADER,
            "content": {"text/plain": {"schema": {"type": "string"}, "example": "janus_workers 2.0\n"}},
        },
        **responses(404),
    },
)
async def show_metrics(request: Request) -> Response:
    """How Janus does, as Prometheus reads it; docs/operations.md explains each. Needs no key, and names nobody.

    They are about every workspace together, so what comes through a reverse proxy is answered 404.
    """
    if through_proxy(request.scope):
        raise NotFound("Metrics are not shown through a proxy: ask this process itself.")
    families = await _gauges(request.app.state)
    registry = registry_with(lambda: families, without=WORKERS_OWN)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


async def _gauges(state: State) -> Sequence[Metric]:
    context: Context | None = state.context
    if context is None:
        return gauges.families(None)
    kept: gauges.Gauges | None = getattr(state, "gauges", None)
    if kept is None or kept.database is not context.database:
        kept = state.gauges = gauges.Gauges(context.database)
    return await kept.read()


async def _database(state: State) -> Literal["ok", "unreachable", "not migrated"]:
    context: Context | None = state.context
    if context is None:
        return "unreachable"
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await context.database.pool.fetchval("SELECT 1")
            # Asked until it is once true: while a newer release migrates, this older one goes on.
            state.migrated = getattr(state, "migrated", False) or await is_migrated(context.database)
    except _AWAY:
        return "unreachable"
    return "ok" if state.migrated else "not migrated"


async def _redis(redis: Redis | None) -> Literal["ok", "unreachable", "not configured"]:
    if redis is None:
        return "not configured"
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await redis.ping()
    except REDIS_AWAY:
        return "unreachable"
    return "ok"
