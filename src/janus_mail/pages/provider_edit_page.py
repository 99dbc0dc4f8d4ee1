"""`/providers/{id}/edit`: a provider's settings, its credentials, where its service posts to, and its end."""

import uuid
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.responses import Response

from janus_mail.errors import Conflict, InvalidInput
from janus_mail.feedback.readers import READERS
from janus_mail.pages import queries
from janus_mail.pages.flash import Flash
from janus_mail.pages.hook_words import BOUNCES, HOOKS, HookWords
from janus_mail.pages.provider_add_page import OLD_FORM
from janus_mail.pages.provider_form import Problem, ProviderForm
from janus_mail.pages.provider_words import checked, saved
from janus_mail.pages.rendering import go_to, show
from janus_mail.pages.visit import EditProvidersVisit, OurForm, Visit, read_form, text_of
from janus_mail.providers.registry import KINDS
from janus_mail.routing.change import change_provider, remove_provider, renew_hook
from janus_mail.routing.read import read_provider
from janus_mail.routing.schemas import Provider
from janus_mail.routing.verify import verify_provider

router = APIRouter()

_CHANGED = Problem("", "Somebody changed this provider meanwhile. Below is what you typed; send it again to keep that.")


@dataclass(frozen=True, slots=True)
class Hook:
    """Where the service posts to. `words` is null where it posts nothing, and bounces come as mail."""

    url: str
    words: HookWords | None
    bounces: str = BOUNCES


@router.get("/providers/{provider_id}/edit")
async def edit_page(visit: EditProvidersVisit, provider_id: uuid.UUID) -> Response:
    provider = await _read(visit, provider_id)
    return await _show(visit, provider, ProviderForm.of(provider))


@router.post("/providers/{provider_id}/edit")
async def edit(visit: EditProvidersVisit, provider_id: uuid.UUID) -> Response:
    sent, ours = await read_form(visit)
    provider = await _read(visit, provider_id)
    form = ProviderForm.of(provider)
    form.take(sent)
    if not ours:
        form.problems = [OLD_FORM]
        return await _show(visit, provider, form, status=403)
    patch = form.patch(text_of(sent, "version"))
    if patch is None:
        return await _show(visit, provider, form, status=400)
    try:
        changed = await change_provider(visit.context, visit.caller, provider_id, patch, verify=True)
    except (InvalidInput, Conflict) as refusal:
        if refusal.code == "version_conflict":
            form.problems.append(_CHANGED)
        else:
            form.note(refusal)
        return await _show(visit, provider, form, status=refusal.status)
    return go_to(visit, f"/providers/{provider_id}/edit", Flash(_done(provider, changed)))


@router.post("/providers/{provider_id}/verify")
async def verify(visit: EditProvidersVisit, provider_id: uuid.UUID, _form: OurForm) -> Response:
    provider = await verify_provider(visit.context, visit.caller.workspace_id, provider_id)
    done = "no_way_to_ask" if provider.verification is None else "asked"
    return go_to(visit, f"/providers/{provider_id}/edit", Flash(done))


@router.post("/providers/{provider_id}/hook-token")
async def new_hook(visit: EditProvidersVisit, provider_id: uuid.UUID, _form: OurForm) -> Response:
    await renew_hook(visit.context, visit.caller, provider_id)
    return go_to(visit, f"/providers/{provider_id}/edit", Flash("hook_renewed"))


@router.post("/providers/{provider_id}/remove")
async def remove(visit: EditProvidersVisit, provider_id: uuid.UUID, _form: OurForm) -> Response:
    await remove_provider(visit.context, visit.caller, provider_id)
    return go_to(visit, "/providers", Flash("provider_removed"))


async def _read(visit: Visit, provider_id: uuid.UUID) -> Provider:
    context = visit.context
    public_url = context.settings.public_url or str(visit.request.base_url)
    return await read_provider(
        context.database, context.secrets, visit.caller.workspace_id, provider_id, public_url=public_url
    )


def _done(before: Provider, after: Provider) -> str:
    """A check is spoken of when there was one."""
    return "provider_saved" if after.verification == before.verification else saved(after, "provider_saved")


async def _show(visit: Visit, provider: Provider, form: ProviderForm, *, status: int = 200) -> Response:
    label = KINDS[provider.kind].label if provider.kind in KINDS else provider.kind
    return await show(
        visit,
        "provider_edit.html",
        status=status,
        nav="providers",
        provider=provider,
        form=form,
        label=label,
        checked=checked(provider),
        hook=_hook(provider),
        own_sender=await visit.context.database.pool.fetchval(queries.OWN_SENDER, visit.caller.workspace_id) or "",
        local=visit.context.settings.public_url is None,
    )


def _hook(provider: Provider) -> Hook | None:
    if provider.hook_url is None:
        return None
    if provider.kind in READERS:
        return Hook(provider.hook_url, HOOKS.get(provider.kind))
    return Hook(f"{provider.hook_url}/dsn", None)
