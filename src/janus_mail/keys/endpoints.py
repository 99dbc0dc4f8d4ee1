"""The routes of a workspace's API keys."""

import uuid
from typing import Annotated, Any, Final

from fastapi import Path, Response

from janus_mail.accounts.access import ReadKeys, WriteKeys
from janus_mail.keys import changes as key_changes
from janus_mail.keys.schemas import ApiKey, ApiKeyCreate, ApiKeyMade, ApiKeyPatch, Rotation
from janus_mail.web.context import ContextDep
from janus_mail.web.errors import responses
from janus_mail.web.idempotency import REPLAYED, Once
from janus_mail.web.pages_of import Page, PageQuery
from janus_mail.web.routes import api_router

router = api_router("/api", tags=["API keys"])

KeyId = Annotated[uuid.UUID, Path(description="The key.")]
_MADE: Final[dict[int | str, dict[str, Any]]] = {
    **responses(409),
    201: {"description": "The key, this once.", "headers": REPLAYED},
}
_ROTATED: Final[dict[int | str, dict[str, Any]]] = {**responses(409), 201: {"description": "The key, this once."}}
_USUAL: Final = Rotation()


@router.get("/keys", summary="List the API keys")
async def list_keys(context: ContextDep, caller: ReadKeys, page: PageQuery) -> Page[ApiKey]:
    """Newest first; those that were revoked or have expired for 30 days more."""
    rows = await key_changes.list_keys_of(context.database, caller.workspace_id, after=page.cursor, limit=page.fetch)
    data, has_more, next_cursor = page.cut(rows, lambda key: key.id)
    return Page(data=list(data), has_more=has_more, next_cursor=next_cursor)


@router.post("/keys", status_code=201, summary="Make an API key", responses=_MADE)
async def post_key(
    context: ContextDep, caller: WriteKeys, wanted: ApiKeyCreate, once: Once, response: Response
) -> ApiKeyMade:
    """`secret` is the key, this once: only a digest of it is kept. A key gives none what it lacks itself."""
    made = await key_changes.accept_key(context, caller, wanted, once)
    if made.secret is None:
        response.headers["Idempotent-Replayed"] = "true"
    key = await key_changes.read_key(context.database, caller.workspace_id, made.id)
    return ApiKeyMade(key=key, secret=made.secret)


@router.patch("/keys/{key_id}", summary="Change an API key")
async def patch_key(context: ContextDep, caller: WriteKeys, key_id: KeyId, patch: ApiKeyPatch) -> ApiKey:
    """Its name and its limit; what is left out stays. For other scopes or another end make a new key."""
    return await key_changes.change_key(context, caller, key_id, patch)


@router.delete("/keys/{key_id}", summary="Revoke an API key")
async def delete_key(context: ContextDep, caller: WriteKeys, key_id: KeyId) -> ApiKey:
    """It opens nothing from the answer on. Revoking what is revoked changes nothing."""
    async with context.database.transaction() as connection:
        return await key_changes.revoke(connection, caller, caller.workspace_id, key_id)


@router.post("/keys/{key_id}/rotate", status_code=201, summary="Rotate an API key", responses=_ROTATED)
async def rotate_key(
    context: ContextDep, caller: WriteKeys, key_id: KeyId, wanted: Rotation = _USUAL
) -> ApiKeyMade:  # fmt: skip
    """A new key with the same name, scopes and limit, shown this once; the old one ends after the overlap.

    One with an end gets a successor that lasts as long as it was to. One that is over, or has a successor: 409.
    """
    async with context.database.transaction() as connection:
        made = await key_changes.rotate(connection, caller, caller.workspace_id, key_id, wanted.overlap_hours)
    key = await key_changes.read_key(context.database, caller.workspace_id, made.id)
    return ApiKeyMade(key=key, secret=made.secret)
