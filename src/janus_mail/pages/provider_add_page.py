"""`/providers/add`: choosing a service, and setting up an account there."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.responses import Response

from janus_mail.errors import Conflict, InvalidInput, NotFound
from janus_mail.pages.flash import Flash
from janus_mail.pages.provider_form import Problem, ProviderForm
from janus_mail.pages.provider_words import saved
from janus_mail.pages.rendering import go_to, show
from janus_mail.pages.visit import EditProvidersVisit, Visit, read_form
from janus_mail.providers.registry import KINDS
from janus_mail.routing.create import accept_provider
from janus_mail.routing.read import list_providers
from janus_mail.routing.schemas import Provider

router = APIRouter()

OLD_FORM = Problem("", "This page had grown old. Please look at it once more and send it again.")


@dataclass(frozen=True, slots=True)
class _Choice:
    kind: str
    label: str
    about: str


@router.get("/providers/add")
async def choose(visit: EditProvidersVisit) -> Response:
    kinds = [_Choice(kind.kind, kind.label, kind.about) for kind in KINDS.values()]
    first_real = _all_sandboxes(await _route(visit))
    return await show(visit, "provider_kinds.html", nav="providers", kinds=kinds, first_real=first_real)


@router.get("/providers/add/{kind}")
async def add_page(visit: EditProvidersVisit, kind: str) -> Response:
    route = await _route(visit)
    return await _show(visit, _blank(kind, route), route)


@router.post("/providers/add/{kind}")
async def add(visit: EditProvidersVisit, kind: str) -> Response:
    sent, ours = await read_form(visit)
    route = await _route(visit)
    form = _blank(kind, route)
    form.take(sent)
    if not ours:  # what was typed is worth more than a page that says no
        form.problems = [OLD_FORM]
        return await _show(visit, form, route, status=403)
    wanted = form.create()
    if wanted is None:
        return await _show(visit, form, route, status=400)
    try:
        made, _ = await accept_provider(visit.context, visit.caller, wanted, verify=True)
    except (InvalidInput, Conflict) as refusal:
        form.note(refusal)
        return await _show(visit, form, route, status=refusal.status)
    return go_to(visit, f"/providers/{made.id}/edit", Flash(saved(made, "provider_added")))


async def _route(visit: Visit) -> list[Provider]:
    return await list_providers(visit.context.database, visit.context.secrets, visit.caller.workspace_id)


def _all_sandboxes(route: Sequence[Provider]) -> bool:
    """There are some, and none is real: the first real one makes them step aside."""
    return bool(route) and all(provider.sandbox for provider in route)


def _blank(kind: str, route: Sequence[Provider]) -> ProviderForm:
    """Raises `NotFound`."""
    if kind not in KINDS:
        raise NotFound("There is no such kind of provider.")
    return ProviderForm.blank(kind, [provider.name for provider in route])


async def _show(visit: Visit, form: ProviderForm, route: Sequence[Provider], *, status: int = 200) -> Response:
    known = KINDS[form.kind]
    return await show(
        visit, "provider_add.html", status=status, nav="providers", form=form, label=known.label, about=known.about,
        first_real=_all_sandboxes(route),
    )  # fmt: skip
