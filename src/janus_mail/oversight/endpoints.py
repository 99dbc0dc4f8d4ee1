"""The routes of the audit log."""

from typing import Annotated, Any

from fastapi import Depends
from fastapi.responses import StreamingResponse

from janus_mail.accounts.access import ReadAudit
from janus_mail.events.listing import from_query, refuse_unknown_filters
from janus_mail.oversight import export_csv, read
from janus_mail.oversight.read import AuditFilters
from janus_mail.oversight.schemas import AuditEntryOut
from janus_mail.web.context import ContextDep
from janus_mail.web.pages_of import Page, PageQuery
from janus_mail.web.routes import api_router

router = api_router("/api/audit", ["Audit log"])

Filters = Annotated[AuditFilters, Depends(from_query(AuditFilters))]

_CSV_EXAMPLE = (
    f"{','.join(export_csv.COLUMNS)}\r\n"
    "2026-11-21T12:00:00Z,user,0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a04,ann@example.com,203.0.113.7,,provider.changed,"
    'provider,0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a02,SendGrid,"{""rate_per_second"":10}","{""rate_per_second"":50}"\r\n'
)
_CSV: dict[str, Any] = {"schema": {"type": "string"}, "example": _CSV_EXAMPLE}


@router.get("", summary="List the audit log", dependencies=[Depends(refuse_unknown_filters(AuditFilters))])
async def list_audit(
    context: ContextDep, caller: ReadAudit, filters: Filters, page: PageQuery
) -> Page[AuditEntryOut]:  # fmt: skip
    """Who did what, when, from where, to which object; newest first. Nothing in it is ever changed or removed.

    Scheduling is not in it line by line: `created_by` of each event says who did that.
    """
    asked = await read.read_filters(context, caller, filters)
    return await read.list_entries(context, asked, page)


@router.get(
    "/export",
    summary="Export the audit log",
    response_class=StreamingResponse,
    dependencies=[Depends(refuse_unknown_filters(AuditFilters))],
    responses={200: {"description": "CSV (RFC 4180) in UTF-8, newest first.", "content": {"text/csv": _CSV}}},
)
async def export_audit(context: ContextDep, caller: ReadAudit, filters: Filters) -> StreamingResponse:
    """All that fit, as a file; `before` and `after` are JSON. That it was exported is in the log too.

    A cell that a spreadsheet would take for a formula has an apostrophe before it.
    """
    asked = await read.read_filters(context, caller, filters)
    pieces = await export_csv.export_csv(context, caller, asked)
    return StreamingResponse(pieces, media_type=export_csv.MEDIA_TYPE, headers=export_csv.AS_FILE)
