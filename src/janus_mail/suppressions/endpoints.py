"""The routes of a workspace's suppressions: parse, call, answer."""

from typing import Annotated, Any, ClassVar, Final, Literal

from fastapi import Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.convertors import Convertor, register_url_convertor
from starlette.datastructures import UploadFile

from janus_mail.accounts.access import ReadEvents, WriteEvents
from janus_mail.errors import InvalidInput, UnsupportedMediaType
from janus_mail.events.listing import from_query, refuse_unknown_filters
from janus_mail.suppressions import add_by_hand, export_csv, import_csv, read, remove
from janus_mail.suppressions.read import SuppressionFilters
from janus_mail.suppressions.schemas import ImportAnswer, Suppression, SuppressionsAdd, SuppressionsAdded
from janus_mail.web.context import ContextDep
from janus_mail.web.errors import responses
from janus_mail.web.forms import read_utf8_form
from janus_mail.web.idempotency import REPLAYED, Once
from janus_mail.web.pages_of import Page, PageQuery
from janus_mail.web.routes import api_router


class _AddressOrId(Convertor[str]):
    """Anything but the names of our own paths: an address may have a slash."""

    regex: ClassVar[str] = "(?!(?:import|export)$).+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("address_or_id", _AddressOrId())

router = api_router("/api/suppressions", ["Suppressions"])

Named = Annotated[
    str,
    Path(description="An address, or the id of one on the list.", examples=["ann@example.com"], max_length=2_500),
]
Filters = Annotated[SuppressionFilters, Depends(from_query(SuppressionFilters))]

_CSV_EXAMPLE = (
    "address,reason,since,source,message_id\r\n"
    "ann@example.com,hard_bounce,2026-11-21T12:00:00Z,SendGrid,0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a02\r\n"
)
_MOST_OCTETS_A_FIELD: Final = 1024 * 1024
_CSV: dict[str, Any] = {"schema": {"type": "string"}, "example": _CSV_EXAMPLE}
_IMPORT_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "text/csv": _CSV,
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {"type": "string", "format": "binary", "description": "The same, as a browser sends it."}
                },
            }
        },
    },
}


async def _csv_body(request: Request) -> bytes:
    """Raises UnsupportedMediaType, InvalidInput (`missing_fields`)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("text/csv", "multipart/form-data"):
        raise UnsupportedMediaType("Send the file as text/csv, or as the field `file` of multipart/form-data.")
    body = await request.body()  # kept, for the idempotency key is read together with it
    if kind == "text/csv":
        return body
    form = await read_utf8_form(request, max_files=1, max_fields=1, max_part_size=_MOST_OCTETS_A_FIELD)
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidInput("Send the file in the field `file`.", code="missing_fields")
        return await file.read()
    finally:
        await form.close()


@router.get("", summary="List suppressed addresses", dependencies=[Depends(refuse_unknown_filters(SuppressionFilters))])
async def list_suppressions(
    context: ContextDep, caller: ReadEvents, filters: Filters, page: PageQuery
) -> Page[Suppression]:
    """The addresses that get no mail of this workspace, those added last first."""
    return await read.list_suppressions(context.database, caller.workspace_id, filters, page)


@router.post(
    "",
    status_code=201,
    summary="Suppress addresses",
    responses={**responses(409), 201: {"description": "They are on the list.", "headers": REPLAYED}},
)
async def add_suppressions(
    context: ContextDep, caller: WriteEvents, wanted: SuppressionsAdd, once: Once, response: Response
) -> SuppressionsAdded:
    """From now on they get no mail, also not what was scheduled before and has not begun to leave.

    What is on the list already stays as it is, unless the reason given is a stronger one.
    """
    answer, replayed = await add_by_hand.add_by_hand(context, caller, wanted, once)
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return answer


@router.post(
    "/import",
    summary="Import suppressed addresses",
    responses={**responses(409, 413, 415), 200: {"description": "They are on the list.", "headers": REPLAYED}},
    openapi_extra={"requestBody": _IMPORT_BODY},
)
async def import_suppressions(
    context: ContextDep,
    caller: WriteEvents,
    data: Annotated[bytes, Depends(_csv_body)],
    once: Once,
    response: Response,
    mode: Annotated[
        Literal["strict", "permissive"], Query(description="`strict`: all or none; `permissive`: those that are right.")
    ] = "strict",
) -> ImportAnswer:
    """A CSV file in UTF-8, up to 32 MiB: `address`, and if you like `reason`, `since` (ISO 8601), `source` and
    `message_id`, in this order or named by a first line. What is wrong is told by its line.

    A file that this API exported comes back as it was.
    """
    answer, replayed = await import_csv.import_csv(context, caller, data, permissive=mode == "permissive", once=once)
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return answer


@router.get(
    "/export",
    summary="Export suppressed addresses",
    response_class=StreamingResponse,
    dependencies=[Depends(refuse_unknown_filters(SuppressionFilters))],
    responses={200: {"description": "CSV (RFC 4180) in UTF-8, oldest first.", "content": {"text/csv": _CSV}}},
)
async def export_suppressions(context: ContextDep, caller: ReadEvents, filters: Filters) -> StreamingResponse:
    """All that fit, as a file that can be imported again.

    A cell that a spreadsheet would take for a formula has an apostrophe before it, which the import takes away.
    """
    pieces = await export_csv.export_csv(context, caller, filters)
    return StreamingResponse(pieces, media_type=export_csv.MEDIA_TYPE, headers=export_csv.AS_FILE)


@router.get("/{suppression:address_or_id}", summary="Read a suppressed address")
async def read_suppression(context: ContextDep, caller: ReadEvents, suppression: Named) -> Suppression:
    """Why an address gets no mail, by itself or by its id; 404 where it is not on the list."""
    return await read.read_suppression(context.database, caller.workspace_id, suppression)


@router.delete("/{suppression:address_or_id}", summary="Take an address off the list")
async def delete_suppression(context: ContextDep, caller: WriteEvents, suppression: Named) -> Suppression:
    """From now on it gets mail again; answers with it as it was.

    What was suppressed meanwhile does not leave by itself: `POST /api/events/{id}/retry` takes it up again.
    """
    return await remove.remove_suppression(context, caller, suppression)
