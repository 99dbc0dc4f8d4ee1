"""The routes of the caller's workspace.

Whoever may cancel all that is scheduled may stop it, so pausing needs no more than `events:write`; what holds for
everything that comes later is for an admin to say.
"""

from janus_mail.accounts import workspace
from janus_mail.accounts.access import ReadEvents, WriteEvents, WriteWorkspace
from janus_mail.accounts.schemas import Workspace, WorkspaceAnswer, WorkspacePatch
from janus_mail.web.context import ContextDep
from janus_mail.web.routes import api_router

router = api_router("/api", tags=["Workspace"])


@router.get("/workspace", summary="Read the workspace")
async def get_workspace(context: ContextDep, caller: ReadEvents) -> Workspace:
    """The workspace of the credentials, whether it is paused, and how much of its mail waits."""
    return await workspace.read_workspace(context, caller)


@router.patch("/workspace", summary="Change the workspace")
async def patch_workspace(context: ContextDep, caller: WriteWorkspace, patch: WorkspacePatch) -> WorkspaceAnswer:
    """Decides what becomes of mail of which nobody knows whether it left; events keep what they were accepted with."""
    changed = await workspace.set_on_uncertain(context, caller, patch.on_uncertain)
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


def _messages(many: int) -> str:
    return "1 message" if many == 1 else f"{many:,} messages"
