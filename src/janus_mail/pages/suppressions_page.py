"""`/suppressions`: the addresses that get no mail of this workspace, and how they come onto the list and off it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.datastructures import FormData, QueryParams, UploadFile
from starlette.responses import Response, StreamingResponse

from janus_mail.content.addresses import parse_recipients
from janus_mail.errors import Detail, InvalidInput, NotFound
from janus_mail.models.states import SuppressionReason
from janus_mail.pages.flash import Flash
from janus_mail.pages.rendering import go_to, show
from janus_mail.pages.times import number
from janus_mail.pages.visit import EditVisit, OurForm, OurFormWithFile, Visit, VisitDep, text_of
from janus_mail.pages.words import REASONS, count, shortened
from janus_mail.suppressions.add_by_hand import add_by_hand
from janus_mail.suppressions.export_csv import AS_FILE, MEDIA_TYPE, export_csv
from janus_mail.suppressions.import_csv import import_csv
from janus_mail.suppressions.read import SuppressionFilters, count_up_to, cursor_before, list_suppressions
from janus_mail.suppressions.remove import remove_suppression
from janus_mail.suppressions.schemas import MAX_ADDRESSES, MAX_NOTE, SuppressionsAdd
from janus_mail.web.pages_of import PageRequest, decode_cursor
from janus_mail.web.validation import invalid_input

router = APIRouter()

PAGE = 25
_MOST_COUNTED = 100_000
_MOST_TOLD = 20  # of what is wrong


@dataclass(frozen=True, slots=True)
class Search:
    """What the address asks for."""

    q: str = ""
    reason: str = ""

    @classmethod
    def read(cls, query: QueryParams) -> Self:
        reason = query.get("reason", "")
        return cls(query.get("q", "").strip()[:320], reason if reason in REASONS else "")

    @property
    def filters(self) -> SuppressionFilters:
        return SuppressionFilters(self.q or None, SuppressionReason(self.reason) if self.reason else None)

    def link(self, path: str = "/suppressions", **more: str | None) -> str:
        query = {name: value for name, value in {**asdict(self), **more}.items() if value}
        return f"{path}?{urlencode(query)}" if query else path


@dataclass(slots=True)
class Typed:
    """What stands in the form for adding, and what is wrong with it, field by field."""

    values: Mapping[str, str]
    problems: Sequence[tuple[str, str]] = ()

    @classmethod
    def sent(cls, form: FormData) -> Self:
        return cls({name: text_of(form, name) for name in ("addresses", "why", "note")})

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")

    def wrong(self, name: str) -> list[str]:
        return [sentence for field, sentence in self.problems if field == name]

    def read(self) -> SuppressionsAdd:
        """Raises InvalidInput."""
        parsed = parse_recipients(self["addresses"])
        if parsed.invalid:
            raise _wrong("addresses", [f"“{shortened(bad.text, 80)}”: {bad.reason}" for bad in parsed.invalid])
        addresses = [recipient.address for recipient in parsed.recipients]
        if not addresses:
            raise _wrong("addresses", ["Type at least one address."])
        if len(addresses) > MAX_ADDRESSES:
            raise _wrong("addresses", [f"Up to {number(MAX_ADDRESSES)} at once: import a file instead."])
        try:
            return SuppressionsAdd.model_validate(
                {"addresses": addresses, "reason": self["why"], "note": self["note"].strip() or None}
            )
        except ValidationError as error:
            raise invalid_input(error.errors(include_url=False)) from None


@router.get("/suppressions")
async def suppressions_page(visit: VisitDep, cursor: str = "") -> Response:
    return await _show(visit, Typed({}), cursor=cursor)


@router.get("/suppressions/add")
@router.get("/suppressions/import")
async def where_the_forms_are(visit: VisitDep) -> Response:
    """Who comes back to what a form answered."""
    return go_to(visit, "/suppressions")


@router.post("/suppressions/add")
async def add(visit: EditVisit, form: OurForm) -> Response:
    typed = Typed.sent(form)
    try:
        done, _ = await add_by_hand(visit.context, visit.caller, typed.read())
    except InvalidInput as error:
        fields = {"reason": "why", "note": "note"}
        typed.problems = [(fields.get(one.field, "addresses"), one.message) for one in error.details[:_MOST_TOLD]]
        return await _show(visit, typed, status=400)
    return go_to(visit, "/suppressions", Flash("suppressed", (done.added, len(done.data) - done.added)))


@router.get("/suppressions/export")
async def export(visit: VisitDep) -> Response:
    """What the page shows, all of it, as a file."""
    filters = Search.read(visit.request.query_params).filters
    pieces = await export_csv(visit.context, visit.caller, filters)
    return StreamingResponse(pieces, media_type=MEDIA_TYPE, headers=AS_FILE)


@router.post("/suppressions/import")
async def import_file(visit: EditVisit, form: OurFormWithFile) -> Response:
    file = form.get("file")
    data = await file.read() if isinstance(file, UploadFile) else b""
    permissive = text_of(form, "mode") == "permissive"
    try:
        done, _ = await import_csv(visit.context, visit.caller, data, permissive=permissive)
    except InvalidInput as error:
        lines = [f"{detail.field.capitalize()}: {detail.message}" for detail in error.details[:_MOST_TOLD]]
        refused = {"sentence": error.message, "lines": lines, "more": max(0, len(error.details) - _MOST_TOLD)}
        return await _show(visit, Typed({}), status=400, refused=refused)
    if done.rejected:
        return go_to(visit, "/suppressions", Flash("imported_in_part", (done.added, done.rejected)))
    return go_to(visit, "/suppressions", Flash("suppressed", (done.added, done.known)))


@router.post("/suppressions/{suppression_id}/remove")
async def remove(visit: EditVisit, suppression_id: UUID, _form: OurForm) -> Response:
    try:
        await remove_suppression(visit.context, visit.caller, str(suppression_id))
        done = Flash("unsuppressed")
    except NotFound:
        done = Flash("nothing_changed")
    return go_to(visit, Search.read(visit.request.query_params).link(), done)


async def _show(
    visit: Visit, typed: Typed, *, cursor: str = "", status: int = 200, refused: Mapping[str, Any] | None = None
) -> Response:
    search = Search.read(visit.request.query_params)
    database, workspace_id, filters = visit.context.database, visit.caller.workspace_id, search.filters
    before = decode_cursor(cursor) if cursor else None
    page = await list_suppressions(database, workspace_id, filters, PageRequest(PAGE, before))
    if before is not None and not page.data:
        return go_to(visit, search.link())
    newer = None
    if before is not None:
        newer = search.link(cursor=await cursor_before(database, workspace_id, filters, page.data[0].id, PAGE))
    many = await count_up_to(database, workspace_id, filters, _MOST_COUNTED)
    return await show(
        visit,
        "suppressions.html",
        status=status,
        nav="suppressions",
        search=search,
        filtered=search != Search(),
        reasons=list(REASONS.items()),
        rows=page.data,
        shown_words=count(many, "address", "addresses") + (" or more" if many == _MOST_COUNTED else ""),
        newer=newer,
        older=search.link(cursor=page.next_cursor) if page.next_cursor else None,
        export=search.link("/suppressions/export"),
        remove_query=search.link(""),
        form=typed,
        problems=typed.problems,
        refused=refused,
        most_note=MAX_NOTE,
    )


def _wrong(field: str, sentences: Sequence[str]) -> InvalidInput:
    return InvalidInput(sentences[0], details=[Detail(field, sentence) for sentence in sentences])
