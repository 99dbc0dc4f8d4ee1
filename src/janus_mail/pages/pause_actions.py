"""The stop button of every page, and its other side."""

from fastapi import APIRouter
from starlette.responses import Response

from janus_mail.pages.flash import Flash
from janus_mail.pages.rendering import go_to
from janus_mail.pages.visit import EditVisit, OurForm, our_path, text_of
from janus_mail.workspaces import workspace

router = APIRouter()


@router.post("/pause")
async def pause(visit: EditVisit, _form: OurForm) -> Response:
    await workspace.pause(visit.context, visit.caller)
    return go_to(visit, "/")  # the band says it, on every page


@router.post("/resume")
async def resume(visit: EditVisit, form: OurForm) -> Response:
    resumed = await workspace.resume(visit.context, visit.caller)
    return go_to(visit, our_path(text_of(form, "back")), Flash("resumed", (resumed.due,)))
