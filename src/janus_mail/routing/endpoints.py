"""The routes of a workspace's providers."""

import uuid
from typing import Annotated

from fastapi import Body, Path, Query, Response

from janus_mail.accounts.access import ReadProviders, WriteProviders
from janus_mail.accounts.callers import Caller
from janus_mail.providers.registry import KINDS, config_schema
from janus_mail.routing import change, read
from janus_mail.routing.create import accept_provider
from janus_mail.routing.incidents import list_incidents
from janus_mail.routing.schemas import (
    CircuitSwitch,
    Incident,
    Provider,
    ProviderCreate,
    ProviderKind,
    ProviderOrder,
    ProviderPatch,
    ProviderTest,
    ProviderTested,
)
from janus_mail.routing.try_out import send_test
from janus_mail.routing.verify import verify_provider
from janus_mail.web.context import Context, ContextDep
from janus_mail.web.errors import responses
from janus_mail.web.idempotency import REPLAYED, Once
from janus_mail.web.pages_of import Page, PageQuery
from janus_mail.web.routes import api_router

router = api_router("/api", tags=["Providers"])

ProviderId = Annotated[uuid.UUID, Path(description="The provider.")]

Verify = Annotated[
    bool, Query(description="False: the service is not asked whether it knows the credentials, which takes up to 9 s.")
]

_USUAL_TEST = ProviderTest()

_LOCATION = {
    "Location": {
        "description": "The provider.",
        "schema": {"type": "string"},
        "example": "/api/providers/0193a2c4-7b1e-7c3d-9f00-1a2b3c4d5e6f",
    }
}


@router.get("/providers", summary="List the route")
async def list_providers(context: ContextDep, caller: ReadProviders, page: PageQuery) -> Page[Provider]:
    """The workspace's providers in the order in which they are tried."""
    route = await read.list_providers(
        context.database, context.secrets, caller.workspace_id, after=page.cursor, limit=page.fetch,
        public_url=_public_url(context, caller),
    )  # fmt: skip
    data, has_more, next_cursor = page.cut(route, lambda provider: provider.id)
    return Page(data=list(data), has_more=has_more, next_cursor=next_cursor)


@router.post(
    "/providers",
    status_code=201,
    summary="Set up a provider",
    responses={**responses(409), 201: {"description": "It is in the route.", "headers": {**_LOCATION, **REPLAYED}}},
)
async def post_provider(
    context: ContextDep,
    caller: WriteProviders,
    wanted: ProviderCreate,
    once: Once,
    response: Response,
    verify: Verify = True,
) -> Provider:
    """An account at an email service, last in the route unless a position is given.

    Its credentials are stored encrypted and never shown again. Mail that waits for a provider is tried at once. Then
    the service is asked whether it knows the credentials; `verification` is its answer, and a no changes nothing else.
    """
    made, replayed = await accept_provider(context, caller, wanted, once, verify=verify)
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    response.headers["Location"] = f"/api/providers/{made.id}"
    return made


@router.get("/providers/{provider_id}", summary="Read a provider")
async def read_provider(context: ContextDep, caller: ReadProviders, provider_id: ProviderId) -> Provider:
    """One provider, with its credentials masked."""
    return await read.read_provider(
        context.database, context.secrets, caller.workspace_id, provider_id, public_url=_public_url(context, caller)
    )


@router.patch("/providers/{provider_id}", summary="Change a provider", responses=responses(409))
async def change_provider(
    context: ContextDep,
    caller: WriteProviders,
    provider_id: ProviderId,
    patch: Annotated[ProviderPatch, Body()],
    verify: Verify = True,
) -> Provider:
    """Change what is given: name, sender, config, limits, whether it is used, the dial of a sandbox provider.

    Mail that waits because no provider took it is tried at once when this one may take it again, and a circuit that
    failures opened is closed. With another config the service is asked whether it knows the credentials.
    """
    return await change.change_provider(context, caller, provider_id, patch, verify=verify)


@router.delete("/providers/{provider_id}", summary="Remove a provider", responses=responses(409))
async def delete_provider(context: ContextDep, caller: WriteProviders, provider_id: ProviderId) -> Provider:
    """Takes it out of the route; answers with it as it was. Its attempts stay, and what waited for it goes on."""
    return await change.remove_provider(context, caller, provider_id)


@router.post("/providers/{provider_id}/circuit", summary="Open or close a circuit")
async def switch_circuit(
    context: ContextDep, caller: WriteProviders, provider_id: ProviderId, switch: CircuitSwitch
) -> Provider:
    """By hand. An opened one stays open until someone closes it; closing also unblocks its sender domains.

    Mail that waits because no provider took it is tried at once when it is closed.
    """
    return await change.switch_circuit(context, caller, provider_id, switch)


@router.post("/providers/{provider_id}/verify", summary="Check a provider's credentials")
async def post_verify(context: ContextDep, caller: WriteProviders, provider_id: ProviderId) -> Provider:
    """Asks the service, by its cheapest way, whether it knows them. `verification` is its answer, within 9 s."""
    return await verify_provider(context, caller.workspace_id, provider_id)


@router.post("/providers/{provider_id}/hook-token", summary="Make a new address for a provider's hook")
async def post_hook_token(context: ContextDep, caller: WriteProviders, provider_id: ProviderId) -> Provider:
    """For when somebody knows the one it has. `hook_url` is the new one, which the service must be told: what it posts
    to the old one is refused from the next second on.
    """
    return await change.renew_hook(context, caller, provider_id)


@router.post("/providers/{provider_id}/test", summary="Send a test mail", responses=responses(409))
async def post_test(
    context: ContextDep, caller: WriteProviders, provider_id: ProviderId, wanted: ProviderTest = _USUAL_TEST
) -> ProviderTested:
    """One mail, at once, through this provider alone, whatever its circuit and its switch say; answers, within 60 s,
    with the try in full, also where it failed.

    It becomes an event of its own. One at a time: 409 `test_in_progress`.
    """
    return await send_test(context, caller, provider_id, wanted)


@router.get("/providers/{provider_id}/incidents", summary="List a provider's incidents")
async def get_incidents(
    context: ContextDep, caller: ReadProviders, provider_id: ProviderId, page: PageQuery
) -> Page[Incident]:
    """When it was not tried, why, and which providers took its mail instead; newest first."""
    rows = await list_incidents(context.database, caller.workspace_id, provider_id, after=page.cursor, limit=page.fetch)
    data, has_more, next_cursor = page.cut(rows, lambda incident: incident.id)
    return Page(data=list(data), has_more=has_more, next_cursor=next_cursor)


@router.post("/providers/order", summary="Put the route in order")
async def put_in_order(context: ContextDep, caller: WriteProviders, body: ProviderOrder) -> Page[Provider]:
    """Name every provider once, the one to try first first; answers with the whole route."""
    route = await change.put_in_order(context, caller, body.order)
    return Page(data=route, has_more=False, next_cursor=None)


@router.get("/provider-kinds", summary="List the kinds of providers")
async def list_kinds(caller: ReadProviders) -> Page[ProviderKind]:
    """Every email service that Janus knows, with what its config must hold."""
    kinds = [
        ProviderKind(kind=kind.kind, label=kind.label, about=kind.about, config_schema=config_schema(kind.kind))
        for kind in KINDS.values()
    ]
    return Page(data=kinds, has_more=False, next_cursor=None)


def _public_url(context: Context, caller: Caller) -> str | None:
    """For the address of a hook, which holds a secret."""
    return context.settings.public_url if caller.may("providers:write") else None
