"""`/parked`: the mails of which nobody knows whether they arrived, and what a person can say of each."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from fastapi import APIRouter
from starlette.responses import Response

from janus_mail.models.states import SendAs
from janus_mail.pages import queries
from janus_mail.pages.rendering import show
from janus_mail.pages.times import number
from janus_mail.pages.visit import Visit, VisitDep
from janus_mail.pages.words import said_by, saying
from janus_mail.web.pages_of import decode_cursor, encode_cursor

router = APIRouter()

PAGE = 20


@dataclass(frozen=True, slots=True)
class ParkedMail:
    """One line: whose mail, which try left it in doubt, what was heard of it."""

    id: uuid.UUID
    event_id: uuid.UUID
    recipient: str
    others: str
    subject: str
    provider: str | None
    at: datetime | None
    happened: str
    said: str


@router.get("/parked")
async def parked_page(visit: VisitDep, cursor: str = "") -> Response:
    before = decode_cursor(cursor) if cursor else None
    pool, workspace_id = visit.context.database.pool, visit.caller.workspace_id
    rows = await pool.fetch(queries.PARKED, workspace_id, before, PAGE + 1)
    shown = rows[:PAGE]
    return await show(
        visit,
        "parked.html",
        nav="parked",
        mails=[_parked(row) for row in shown],
        first=before is None,
        newer=await _newer(visit, shown) if before and shown else None,
        older=f"/parked?cursor={encode_cursor(shown[-1]['id'])}" if len(rows) > PAGE else None,
    )


async def _newer(visit: Visit, shown: Sequence[asyncpg.Record]) -> str:
    """The address of the page before."""
    newer = await visit.context.database.pool.fetch(
        queries.PARKED_BEFORE, visit.caller.workspace_id, shown[0]["id"], PAGE + 1
    )
    return f"/parked?cursor={encode_cursor(newer[PAGE]['id'])}" if len(newer) > PAGE else "/parked"


def _parked(row: asyncpg.Record) -> ParkedMail:
    others = row["recipients_count"] - 1 if row["send_as"] == SendAs.GROUP else 0
    tried = row["outcome"] is not None
    happened = saying(row["outcome"], row["code"]).happened.format(provider=row["provider_name"]) if tried else ""
    return ParkedMail(
        id=row["id"],
        event_id=row["event_id"],
        recipient=row["recipient"],
        others=f"and {number(others)} more, in one mail" if others > 0 else "",
        subject=row["subject"],
        provider=row["provider_name"],
        at=row["started_at"],
        happened=happened,
        said=said_by(row["code"], row["response"]) if tried else row["last_error"] or "",
    )
