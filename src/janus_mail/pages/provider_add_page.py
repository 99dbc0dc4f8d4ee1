"""`/providers/add`: choosing a service, and setting up an account there."""

from dataclasses import dataclass

from fastapi import APIRouter
from starlette.responses import Response

from janus_mail.errors import Conflict, InvalidInput, NotFound
from janus_mail.pages.flash import Flash
from janus_mail.pages.provider_form import Problem, ProviderForm
from janus_mail.pages.provider_words import checked
from janus_mail.pages.rendering import go_to, show
from janus_mail.pages.visit import Visit, VisitDep, read_form
from janus_mail.providers.registry import KINDS
from janus_mail.routing.create import accept_provider
from janus_mail.routing.read import list_providers

router = APIRouter()

OLD_FORM = Problem("", "This page had grown old. Please look at it once more and send it again.")


@dataclass(frozen=True, slots=True)
class _Choice:
    kind: str
    label: str
    about: str


@router.get("/providers/add")
async def choose(visit: VisitDep) -> Response:
    kinds = [_Choice(kind.kind, kind.label, kind.about) for kind in KINDS.values()]
    return await show(visit, "provider_kinds.html", nav="providers", kinds=kinds)


@router.get("/providers/add/{kind}")
async def add_page(visit: VisitDep, kind: str) -> Response:
    return await _show(visit, await _blank(visit, kind))


@router.post("/providers/add/{kind}")
async def add(visit: VisitDep, kind: str) -> Response:
    sent, ours = await read_form(visit)
    form = await _blank(visit, kind)
    form.take(sent)
    if not ours:  # what was typed is worth more than a page that says no
        form.problems = [OLD_FORM]
        return await _show(visit, form, status=403)
    wanted = form.create()
    if wanted is None:
        return await _show(visit, form, status=400)
    try:
        made, _ = await accept_provider(visit.context, visit.caller.workspace_id, wanted, verify=True)
    except (InvalidInput, Conflict) as refusal:
        form.note(refusal)
        return await _show(visit, form, status=refusal.status)
    answer = made.verification
    done = "provider_added" if checked(made) is None else "provider_works" if answer and answer.ok else "provider_fails"
    return go_to(visit, f"/providers/{made.id}/edit", Flash(done))


async def _blank(visit: Visit, kind: str) -> ProviderForm:
    """Raises `NotFound`."""
    if kind not in KINDS:
        raise NotFound("There is no such kind of provider.")
    route = await list_providers(visit.context.database, visit.context.secrets, visit.caller.workspace_id)
    return ProviderForm.blank(kind, [provider.name for provider in route])


async def _show(visit: Visit, form: ProviderForm, *, status: int = 200) -> Response:
    known = KINDS[form.kind]
    return await show(
        visit, "provider_add.html", status=status, nav="providers", form=form, label=known.label, about=known.about,
    )  # fmt: skip
