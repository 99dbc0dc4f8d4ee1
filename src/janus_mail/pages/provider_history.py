"""`/providers/{id}/history`: when a provider took no mail, and which way the mail went instead."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.responses import Response

from janus_mail.pages.circuit_words import cause, course, headline
from janus_mail.pages.rendering import show
from janus_mail.pages.timeline import Step
from janus_mail.pages.visit import ProvidersVisit
from janus_mail.routing.incidents import list_incidents
from janus_mail.routing.read import read_provider
from janus_mail.web.pages_of import PageRequest, decode_cursor

router = APIRouter()

PAGE = 20


@dataclass(frozen=True, slots=True)
class ShownIncident:
    """One incident: a sentence, why it began, what the server said, and its course."""

    id: uuid.UUID
    headline: str
    reason: str
    said: str
    over: bool
    steps: Sequence[Step]


@router.get("/providers/{provider_id}/history")
async def history_page(visit: ProvidersVisit, provider_id: uuid.UUID, cursor: str = "") -> Response:
    context, workspace_id = visit.context, visit.caller.workspace_id
    page = PageRequest(PAGE, decode_cursor(cursor) if cursor else None)
    provider = await read_provider(context.database, context.secrets, workspace_id, provider_id)
    incidents = await list_incidents(context.database, workspace_id, provider_id, after=page.cursor, limit=page.fetch)
    shown, _, older = page.cut(incidents, lambda incident: incident.id)
    return await show(
        visit,
        "provider_history.html",
        nav="providers",
        provider=provider,
        first=page.cursor is None,
        newest=f"/providers/{provider_id}/history",
        older=f"/providers/{provider_id}/history?cursor={older}" if older else None,
        incidents=[
            ShownIncident(
                incident.id,
                headline(incident, visit.clock),
                *cause(incident),
                incident.closed_at is not None,
                course(incident.changes, visit.clock),
            )
            for incident in shown
        ],
    )
