"""A bare FastAPI application that inserts one row through asyncpg: no credentials, no rules, no wake-up.

It runs on our own versions of FastAPI, asyncpg and uvicorn, with uvicorn's options that `janus api` uses, in one
process: what it answers is what these allow.
"""

import os
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg
import httpx
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from uuid_utils.compat import uuid7

from benchmarks.stand import Process, Stand, free_port, ready, running

# The same columns, types, defaults, checks and indexes.
_TABLE = "CREATE TABLE IF NOT EXISTS bare_events (LIKE events INCLUDING ALL)"

_INSERT = """
    INSERT INTO bare_events (
        workspace_id, id, subject, text, html, expected_sent_at, timezone, priority, first_recipients,
        recipients_count, failover, on_uncertain, created_by, counts, created_at, updated_at)
    VALUES (
        $1, $2, $3, $4, $5, $6, 'UTC', 1, jsonb_build_array(jsonb_build_object('email', $7::text, 'name', NULL)),
        1, true, 'resend', 'bare', '{"scheduled": 1}', clock_timestamp(), clock_timestamp())
    RETURNING created_at
"""

_WORKSPACE = uuid.UUID(int=1)


class BareEvent(BaseModel):
    """What is asked for, in our own fields' names."""

    email_subject: str
    email_content: str | None = None
    email_html: str | None = None
    expected_sent_at: datetime
    recipients: str


def create_app(dsn: str) -> FastAPI:
    """`POST /events` → 201, once the row is committed."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(dsn, min_size=1, max_size=10) as app.state.pool:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/events", status_code=201)
    async def insert(event: BareEvent) -> dict[str, str]:
        event_id = uuid7()
        created_at = await app.state.pool.fetchval(
            _INSERT, _WORKSPACE, event_id, event.email_subject, event.email_content, event.email_html,
            event.expected_sent_at, event.recipients,
        )  # fmt: skip
        return {"id": str(event_id), "created_at": created_at.isoformat()}

    return app


@asynccontextmanager
async def bare_insert(bench: Stand) -> AsyncIterator[int]:
    """The port of a running one, on the stand's database; its rows are in `bare_events`, empty at first."""
    await bench.database.pool.execute(_TABLE)
    await bench.database.pool.execute("TRUNCATE bare_events")
    port = await free_port()
    settings = {"BARE_DSN": bench.dsn, "BARE_PORT": str(port)}
    program = [sys.executable, "-m", "benchmarks.peers.bare_insert"]
    with running(Process(bench.folder, "bare", program, settings)):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            await ready(client, "/openapi.json")
        yield port


def serve() -> None:
    """With the options of `janus api`."""
    uvicorn.run(
        create_app(os.environ["BARE_DSN"]), host="127.0.0.1", port=int(os.environ["BARE_PORT"]), access_log=False,
        log_config=None, log_level="warning", server_header=False, timeout_graceful_shutdown=5,
    )  # fmt: skip


if __name__ == "__main__":
    serve()
