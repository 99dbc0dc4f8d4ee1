"""`/members`: who is in the workspace, and who is invited."""

import uuid
from collections.abc import Mapping
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from janus_mail.errors import ApiError, Conflict, Forbidden, NotFound, TooManyRequests
from janus_mail.models.states import Role
from janus_mail.notices.system_mail import can_mail
from janus_mail.pages.flash import Flash
from janus_mail.pages.rendering import go_to, show
from janus_mail.pages.role_words import ROLES
from janus_mail.pages.signing_in import discreet
from janus_mail.pages.typed_form import TypedForm
from janus_mail.pages.visit import EditMembersVisit, MembersVisit, OurForm, Visit, text_of
from janus_mail.workspaces import invitations, members
from janus_mail.workspaces.schemas import InvitationCreate

router = APIRouter()

_LABELS: Final[Mapping[str, str]] = {"email": "Address", "role": "Role"}
_REFUSED: Final = (Conflict, Forbidden, TooManyRequests)


@router.get("/members")
async def members_page(visit: MembersVisit) -> Response:
    return await _show(visit, _blank())


@router.get("/members/invite")
async def where_the_form_is(visit: MembersVisit) -> Response:
    """Who comes back to what a form answered."""
    return go_to(visit, "/members")


@router.post("/members/invite")
async def invite(visit: EditMembersVisit, form: OurForm) -> Response:
    """Where no mail is set up the page that follows shows the link, this once."""
    typed = TypedForm.sent(_LABELS, form)
    wanted = typed.read(InvitationCreate, {name: typed[name] for name in _LABELS})
    if wanted is None:
        return await _show(visit, typed, status=400)
    try:
        made = await invitations.invite(visit.context, visit.caller, wanted.email, wanted.role)
    except _REFUSED as error:
        typed.note(error)
        return await _show(visit, typed, status=error.status)
    return await _invited(visit, made, wanted.email)


@router.post("/members/{user_id}/role")
async def change_role(visit: EditMembersVisit, user_id: uuid.UUID, form: OurForm) -> Response:
    role = text_of(form, "role")
    if role not in ROLES:
        return go_to(visit, "/members", Flash("nothing_changed"))
    try:
        await members.change_role(visit.context, visit.caller, user_id, Role(role))
    except NotFound:
        return go_to(visit, "/members", Flash("nothing_changed"))
    except _REFUSED as error:
        return await _show(visit, _blank(), status=error.status, refused=error)
    return go_to(visit, "/members", Flash("role_changed"))


@router.post("/members/{user_id}/remove")
async def remove(visit: EditMembersVisit, user_id: uuid.UUID, _form: OurForm) -> Response:
    try:
        await members.remove_member(visit.context, visit.caller, user_id)
    except NotFound:
        return go_to(visit, "/members", Flash("nothing_changed"))
    except _REFUSED as error:
        return await _show(visit, _blank(), status=error.status, refused=error)
    return go_to(visit, "/members", Flash("member_removed"))


@router.post("/members/invitations/{invitation_id}/again")
async def invite_again(visit: EditMembersVisit, invitation_id: uuid.UUID, _form: OurForm) -> Response:
    try:
        known = await invitations.read_invitation(visit.context.database, visit.caller.workspace_id, invitation_id)
        made = await invitations.invite_again(visit.context, visit.caller, invitation_id)
    except NotFound:
        return go_to(visit, "/members", Flash("nothing_changed"))
    except _REFUSED as error:
        return await _show(visit, _blank(), status=error.status, refused=error)
    return await _invited(visit, made, known.email)


@router.post("/members/invitations/{invitation_id}/withdraw")
async def withdraw(visit: EditMembersVisit, invitation_id: uuid.UUID, _form: OurForm) -> Response:
    try:
        await invitations.withdraw(visit.context, visit.caller, invitation_id)
    except NotFound:
        return go_to(visit, "/members", Flash("nothing_changed"))
    return go_to(visit, "/members", Flash("invitation_withdrawn"))


async def _invited(visit: Visit, made: invitations.Invited, email: str) -> Response:
    if made.link is None:
        return go_to(visit, "/members", Flash("invited"))
    return discreet(await _show(visit, _blank(), link=made.link, link_for=email))


def _blank() -> TypedForm:
    return TypedForm(_LABELS, {"role": Role.EDITOR})


async def _show(
    visit: Visit, typed: TypedForm, *, status: int = 200, refused: ApiError | None = None, link: str = "",
    link_for: str = "",
) -> Response:  # fmt: skip
    database, workspace_id, caller = visit.context.database, visit.caller.workspace_id, visit.caller
    people = await members.list_members(database, workspace_id)
    owners = sum(one.role is Role.OWNER for one in people)
    waiting = await invitations.list_invitations(database, workspace_id) if caller.may("members:write") else ()
    return await show(
        visit,
        "members.html",
        status=status,
        nav="members",
        form=typed,
        refused=refused,
        people=people,
        roles=[(role, word) for role, (word, _) in ROLES.items()],
        may_what=[(word, means) for word, means in ROLES.values()],
        role_words={role: word for role, (word, _) in ROLES.items()},
        last_owner=owners == 1,
        own_id=caller.actor_id,
        invitations=waiting,
        mails=can_mail(visit.context.settings),
        link=link,
        link_for=link_for,
    )
