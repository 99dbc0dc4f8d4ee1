"""The routes of a workspace's providers."""

import uuid
from typing import Annotated

from fastapi import Body

from janus_mail.accounts.access import ReadProviders, WriteProviders
from janus_mail.providers.registry import KINDS, config_schema
from janus_mail.routing import change, read
from janus_mail.routing.schemas import Provider, ProviderKind, ProviderOrder, ProviderPatch
from janus_mail.web.context import ContextDep
from janus_mail.web.errors import responses
from janus_mail.web.pages_of import Page, PageQuery
from janus_mail.web.routes import api_router

router = api_router("/api", tags=["Providers"])


@router.get("/providers", summary="List the route")
async def list_providers(context: ContextDep, caller: ReadProviders, page: PageQuery) -> Page[Provider]:
    """The workspace's providers in the order in which they are tried."""
    route = await read.list_providers(
        context.database, context.secrets, caller.workspace_id, after=page.cursor, limit=page.fetch
    )
    data, has_more, next_cursor = page.cut(route, lambda provider: provider.id)
    return Page(data=list(data), has_more=has_more, next_cursor=next_cursor)


@router.get("/providers/{provider_id}", summary="Read a provider")
async def read_provider(context: ContextDep, caller: ReadProviders, provider_id: uuid.UUID) -> Provider:
    """One provider, with its credentials masked."""
    return await read.read_provider(context.database, context.secrets, caller.workspace_id, provider_id)


@router.patch("/providers/{provider_id}", summary="Change a provider", responses=responses(409))
async def change_provider(
    context: ContextDep, caller: WriteProviders, provider_id: uuid.UUID, patch: Annotated[ProviderPatch, Body()]
) -> Provider:
    """Change what is given: name, sender, whether it is used, the dial of a sandbox provider.

    Mail that waits because no provider took it is tried at once when this one may take it again.
    """
    return await change.change_provider(context, caller.workspace_id, provider_id, patch)


@router.post("/providers/order", summary="Put the route in order")
async def put_in_order(context: ContextDep, caller: WriteProviders, body: ProviderOrder) -> Page[Provider]:
    """Name every provider once, the one to try first first; answers with the whole route."""
    route = await change.put_in_order(context, caller.workspace_id, body.order)
    return Page(data=route, has_more=False, next_cursor=None)


@router.get("/provider-kinds", summary="List the kinds of providers")
async def list_kinds(caller: ReadProviders) -> Page[ProviderKind]:
    """Every email service that Janus knows, with what its config must hold."""
    kinds = [
        ProviderKind(
            kind=kind.kind, label=kind.label, has_adapter=kind.make is not None, config_schema=config_schema(kind.kind)
        )
        for kind in KINDS.values()
    ]
    return Page(data=kinds, has_more=False, next_cursor=None)
