"""The routes of the caller's workspace, and of the workspaces that a person is in.

Whoever may cancel all that is scheduled may stop it, so pausing needs no more than `events:write`; what holds for
everything that comes later is for an admin to say.
"""

from typing import Any, Final

from fastapi import Response

from janus_mail.accounts.access import ReadEvents, WriteEvents, WriteWorkspace
from janus_mail.models.states import Role
from janus_mail.web.context import ContextDep
from janus_mail.web.errors import responses
from janus_mail.web.idempotency import REPLAYED, Once
from janus_mail.web.pages_of import Page
from janus_mail.web.routes import api_router
from janus_mail.workspaces import places, workspace
from janus_mail.workspaces.schemas import (
    Done,
    Place,
    Workspace,
    WorkspaceAnswer,
    WorkspaceCreate,
    WorkspaceDelete,
    WorkspacePatch,
)

router = api_router("/api", tags=["Workspace"])

_MADE: Final[dict[int | str, dict[str, Any]]] = {
    **responses(409),
    201: {"description": "It is there, and its maker is its owner.", "headers": REPLAYED},
}


@router.get("/workspace", summary="Read the workspace")
async def get_workspace(context: ContextDep, caller: ReadEvents) -> Workspace:
    """The workspace of the credentials: its settings, whether it is paused, and how much of its mail waits."""
    return await workspace.read_workspace(context, caller)


@router.patch("/workspace", summary="Change the workspace")
async def patch_workspace(context: ContextDep, caller: WriteWorkspace, patch: WorkspacePatch) -> WorkspaceAnswer:
    """Changes what is given. Events keep what they were accepted with; how much the workspace may send is for whoever
    runs the server to say.
    """
    changed = await workspace.change_workspace(context, caller, patch)
    return WorkspaceAnswer(message="Workspace changed.", workspace=changed)


@router.post("/workspace/pause", summary="Stop all sending")
async def pause_workspace(context: ContextDep, caller: WriteEvents) -> WorkspaceAnswer:
    """From the answer on nothing more begins to leave. Mail that is leaving goes through: `sending` says how many.

    Of what is `uncertain` nobody knows whether it left; where it is to be sent once more, that waits too. Events are
    still accepted, and wait. Pausing what is paused changes nothing.
    """
    paused = await workspace.pause(context, caller)
    leaving = f"; {_messages(paused.sending)} already leaving" if paused.sending else ""
    doubtful = f"; {_messages(paused.uncertain)} may have left" if paused.uncertain else ""
    return WorkspaceAnswer(message=f"Paused; {_messages(paused.waiting)} waiting{leaving}{doubtful}.", workspace=paused)


@router.post("/workspace/resume", summary="Go on sending")
async def resume_workspace(context: ContextDep, caller: WriteEvents) -> WorkspaceAnswer:
    """What has come due meanwhile leaves at once, unless it expired. Resuming what is not paused changes nothing."""
    resumed = await workspace.resume(context, caller)
    return WorkspaceAnswer(message=f"Resumed; {_messages(resumed.due)} due now.", workspace=resumed)


@router.post("/workspace/leave", summary="Leave the workspace", responses=responses(409))
async def leave_workspace(context: ContextDep, caller: ReadEvents) -> Done:
    """For people, not for keys. What their programs hold here ends. The last owner stays: 409 `last_owner`."""
    await places.leave(context, caller)
    return Done(message="You have left the workspace.")


@router.post("/workspace/delete", summary="Delete the workspace", responses=responses(409))
async def delete_workspace(context: ContextDep, caller: WriteWorkspace, wanted: WorkspaceDelete) -> Done:
    """With its events, providers, keys and members, for good; for owners, not for keys. What is leaving leaves.

    The workspace `default` stays: 409 `default_workspace`.
    """
    await places.delete_workspace(context, caller, wanted.name)
    return Done(message="The workspace is deleted.")


@router.get("/workspaces", summary="List one’s workspaces")
async def list_workspaces(context: ContextDep, caller: ReadEvents) -> Page[Place]:
    """All that the person is in, by name; an API key is in one. A token is for one workspace: ask for one for another
    with `POST /api/auth/token`.
    """
    return Page(data=list(await places.places_of(context, caller)), has_more=False, next_cursor=None)


@router.post("/workspaces", status_code=201, summary="Make a workspace", responses=_MADE)
async def create_workspace(
    context: ContextDep, caller: ReadEvents, wanted: WorkspaceCreate, once: Once, response: Response
) -> Place:
    """For people, not for keys. It has no providers yet."""
    maker = places.Somebody(places.person_of(caller), caller.address)
    made, replayed = await places.create_workspace(context, maker, wanted, once, within=caller.workspace_id)
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return Place(id=made, name=wanted.name, role=Role.OWNER, current=False)


def _messages(many: int) -> str:
    return "1 message" if many == 1 else f"{many:,} messages"
