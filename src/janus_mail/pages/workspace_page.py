"""`/workspace`: its settings, leaving it, deleting it. `/workspaces/…`: making one, and going from one to another."""

import re
import uuid
from collections.abc import Mapping
from typing import Any, Final, get_args

from fastapi import APIRouter
from starlette.responses import Response

from janus_mail.accounts.access import address_of
from janus_mail.errors import ApiError, Conflict, InvalidInput
from janus_mail.pages.flash import Flash
from janus_mail.pages.rendering import go_to, show
from janus_mail.pages.times import zone_choices
from janus_mail.pages.typed_form import TypedForm, lines_of
from janus_mail.pages.visit import (
    EditWorkspaceVisit,
    OurForm,
    PersonalVisit,
    PersonalVisitDep,
    Visit,
    VisitDep,
    our_path,
    text_of,
)
from janus_mail.workspaces import places
from janus_mail.workspaces.schemas import Language, WorkspaceCreate, WorkspacePatch
from janus_mail.workspaces.workspace import change_workspace, read_workspace

router = APIRouter()

LANGUAGES: Final[Mapping[str, str]] = {
    "en-GB": "English (United Kingdom): 9 Mar 2026",
    "en-US": "English (United States): Mar 9, 2026",
    "en-AU": "English (Australia)",
    "en-CA": "English (Canada)",
    "en-IE": "English (Ireland)",
    "en-IN": "English (India): 12,34,567",
    "en-NZ": "English (New Zealand)",
    "en-SG": "English (Singapore)",
    "en-ZA": "English (South Africa): 1 234 567",
}
_LABELS: Final[Mapping[str, str]] = {
    "name": "Name",
    "timezone": "Time zone",
    "language": "Dates and numbers",
    "from_email": "Usual sender",
    "from_name": "Shown as",
    "allowed_senders": "Allowed senders",
    "on_uncertain": "When nobody knows whether a mail left",
    "retention_days": "Keep mail for",
}
_NEW_LABELS: Final[Mapping[str, str]] = {"name": "Name", "from_email": "Usual sender", "timezone": "Time zone"}


@router.get("/workspace")
async def workspace_page(visit: VisitDep) -> Response:
    return await _show(visit, await _stored(visit))


@router.post("/workspace")
async def save(visit: EditWorkspaceVisit, form: OurForm) -> Response:
    typed, stored = TypedForm.sent(_LABELS, form), await _stored(visit)
    given = {name: _given(name, typed[name]) for name in _LABELS if typed[name] != stored[name]}
    patch = typed.read(WorkspacePatch, given)
    if patch:
        try:
            await change_workspace(visit.context, visit.caller, patch)
        except InvalidInput as error:
            typed.note(error)
    if typed.problems:
        return await _show(visit, typed, status=400)
    return go_to(visit, "/workspace", Flash("workspace_saved"))


@router.post("/workspace/leave")
async def leave(visit: VisitDep, _form: OurForm) -> Response:
    try:
        await places.leave(visit.context, visit.caller)
    except Conflict as error:
        return await _show(visit, await _stored(visit), status=409, refused=error)
    return go_to(visit, "/", Flash("left"))


@router.post("/workspace/delete")
async def delete(visit: EditWorkspaceVisit, form: OurForm) -> Response:
    try:
        await places.delete_workspace(visit.context, visit.caller, text_of(form, "name"))
    except (InvalidInput, Conflict) as error:
        return await _show(visit, await _stored(visit), status=error.status, refused=error)
    return go_to(visit, "/", Flash("workspace_deleted"))


@router.get("/workspaces/new")
async def new_page(visit: PersonalVisitDep) -> Response:
    zone = visit.clock.zone.key
    typed = TypedForm(_NEW_LABELS, {"from_email": visit.person.email, "timezone": zone})
    return await _show_new(visit, typed, our_path(visit.request.query_params.get("next", "/")))


@router.post("/workspaces/new")
async def create(visit: PersonalVisitDep, form: OurForm) -> Response:
    """And into it."""
    typed = TypedForm.sent(_NEW_LABELS, form)
    back = our_path(text_of(form, "next"))
    wanted = typed.read(WorkspaceCreate, {name: typed[name] or None for name in _NEW_LABELS} | {"name": typed["name"]})
    if wanted is None:
        return await _show_new(visit, typed, back, status=400)
    maker = places.Somebody(visit.person, address_of(visit.request))
    try:
        workspace_id, _ = await places.create_workspace(visit.context, maker, wanted)
    except Conflict as error:
        typed.note(error)
        return await _show_new(visit, typed, back, status=409)
    await places.switch(visit.context, visit.session.id, visit.person.user_id, workspace_id)
    return go_to(visit, "/", Flash("workspace_made"))


@router.get("/workspaces/{workspace_id}/switch")
async def switched(visit: PersonalVisitDep, workspace_id: uuid.UUID) -> Response:
    """Who comes back to what a form answered."""
    return go_to(visit, "/")


@router.post("/workspaces/{workspace_id}/switch")
async def switch(visit: PersonalVisitDep, workspace_id: uuid.UUID, _form: OurForm) -> Response:
    """404 where they are not in it, as for one that is not there."""
    await places.switch(visit.context, visit.session.id, visit.person.user_id, workspace_id)
    return go_to(visit, "/")


def _given(name: str, text: str) -> Any:
    """As the API would take it."""
    if name == "allowed_senders":
        return lines_of(text) or None
    if name == "retention_days" and re.fullmatch(r"[0-9]{1,6}", text):
        return int(text)
    return text if name in ("name", "on_uncertain") else text or None


async def _stored(visit: Visit) -> TypedForm:
    stored = await read_workspace(visit.context, visit.caller)
    values = {name: str(value) for name in _LABELS if (value := getattr(stored, name)) is not None}
    values["allowed_senders"] = "\n".join(stored.allowed_senders or ())
    return TypedForm(_LABELS, values)


async def _show(visit: Visit, typed: TypedForm, *, status: int = 200, refused: ApiError | None = None) -> Response:
    stored = await read_workspace(visit.context, visit.caller)
    zones = zone_choices(visit.clock.now)
    if typed["timezone"] not in dict(zones):  # an alias
        zones.append((typed["timezone"], typed["timezone"]))
    return await show(
        visit,
        "workspace.html",
        status=status,
        nav="workspace",
        form=typed,
        workspace=stored,
        refused=refused,
        zones=zones,
        languages=[(name, LANGUAGES[name]) for name in get_args(Language)],
        server_days=visit.context.settings.retention_days,
        allowed=stored.allowed_senders or (),
        deletable=not await places.belongs_to_server(visit.context.database, visit.caller.workspace_id),
    )


async def _show_new(visit: PersonalVisit, typed: TypedForm, back: str, *, status: int = 200) -> Response:
    return await show(
        visit, "workspace_new.html", status=status, nav="", form=typed, next=back, zones=zone_choices(visit.clock.now),
        first=visit.session.caller is None,
    )  # fmt: skip
