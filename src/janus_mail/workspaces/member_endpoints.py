"""The routes of who is in the workspace, and of who is invited."""

import uuid
from typing import Annotated, Any, Final

from fastapi import Path, Response

from janus_mail.accounts.access import ReadMembers, WriteMembers
from janus_mail.accounts.callers import Caller
from janus_mail.web.context import Context, ContextDep
from janus_mail.web.errors import responses
from janus_mail.web.idempotency import REPLAYED, Once
from janus_mail.web.pages_of import Page, PageQuery
from janus_mail.web.routes import api_router
from janus_mail.workspaces import invitations, members
from janus_mail.workspaces.schemas import Invitation, InvitationCreate, InvitationMade, Member, MemberPatch

router = api_router("/api", tags=["Members"])

UserId = Annotated[uuid.UUID, Path(description="The person.")]
InvitationId = Annotated[uuid.UUID, Path(description="The invitation.")]
_INVITED: Final[dict[int | str, dict[str, Any]]] = {
    **responses(409),
    201: {"description": "The invitation stands.", "headers": REPLAYED},
}
_AGAIN: Final[dict[int | str, dict[str, Any]]] = {**responses(409), 201: {"description": "The new one stands."}}


@router.get("/members", summary="List the members")
async def list_members(context: ContextDep, caller: ReadMembers, page: PageQuery) -> Page[Member]:
    """Who is in the workspace, and as what."""
    rows = await members.list_members(context.database, caller.workspace_id, after=page.cursor, limit=page.fetch)
    data, has_more, next_cursor = page.cut(rows, lambda member: member.user_id)
    return Page(data=list(data), has_more=has_more, next_cursor=next_cursor)


@router.patch("/members/{user_id}", summary="Change a member’s role", responses=responses(409))
async def patch_member(context: ContextDep, caller: WriteMembers, user_id: UserId, patch: MemberPatch) -> Member:
    """It holds from their next request on. The last owner stays one: 409 `last_owner`."""
    return await members.change_role(context, caller, user_id, patch.role)


@router.delete("/members/{user_id}", summary="Remove a member", responses=responses(409))
async def delete_member(context: ContextDep, caller: WriteMembers, user_id: UserId) -> Member:
    """What they and their programs may do here ends at once; answers with them as they were.

    API keys are the workspace's: rotate those that they know. The last owner stays: 409 `last_owner`.
    """
    return await members.remove_member(context, caller, user_id)


@router.get("/invitations", summary="List the open invitations")
async def list_invitations(context: ContextDep, caller: WriteMembers, page: PageQuery) -> Page[Invitation]:
    """Those that somebody could take; newest first. One falls when whoever made it may not invite any more."""
    rows = await invitations.list_invitations(
        context.database, caller.workspace_id, after=page.cursor, limit=page.fetch
    )  # fmt: skip
    data, has_more, next_cursor = page.cut(rows, lambda invitation: invitation.id)
    return Page(data=list(data), has_more=has_more, next_cursor=next_cursor)


@router.post("/invitations", status_code=201, summary="Invite somebody", responses=_INVITED)
async def post_invitation(
    context: ContextDep, caller: WriteMembers, wanted: InvitationCreate, once: Once, response: Response
) -> InvitationMade:
    """By mail, with a link that works once within seven days. An invitation of the same address before it is replaced.

    Where the server has no mail set up, `link` is it, this once: pass it on. An address that is in the workspace: 409
    `already_a_member`.
    """
    made = await invitations.invite(context, caller, wanted.email, wanted.role, once)
    if made.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return await _made(context, caller, made)


@router.post(
    "/invitations/{invitation_id}/resend", status_code=201, summary="Send an invitation again", responses=_AGAIN
)
async def resend_invitation(context: ContextDep, caller: WriteMembers, invitation_id: InvitationId) -> InvitationMade:
    """A new one, with a new link, takes its place; within a minute of the last mail: 429."""
    return await _made(context, caller, await invitations.invite_again(context, caller, invitation_id))


@router.delete("/invitations/{invitation_id}", summary="Withdraw an invitation")
async def delete_invitation(context: ContextDep, caller: WriteMembers, invitation_id: InvitationId) -> Invitation:
    """Its link opens nothing from now on; answers with it as it was."""
    return await invitations.withdraw(context, caller, invitation_id)


async def _made(context: Context, caller: Caller, made: invitations.Invited) -> InvitationMade:
    invitation = await invitations.read_invitation(context.database, caller.workspace_id, made.id)
    return InvitationMade(invitation=invitation, mailed=made.mailed, link=made.link)
