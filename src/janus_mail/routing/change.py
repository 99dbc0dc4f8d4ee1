"""Changing a provider, and the order in which a workspace's providers are tried."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

import asyncpg

from janus_mail.delivery.control import try_waiting_now
from janus_mail.errors import Conflict, Detail, InvalidInput
from janus_mail.routing import queries
from janus_mail.routing.create import name_taken, refuse_reserved_name
from janus_mail.routing.read import list_providers, no_such_provider, shown
from janus_mail.routing.schemas import Provider, ProviderPatch
from janus_mail.web.context import Context

DIAL = ("sandbox_mode", "sandbox_failure_rate")
KEPT_IN_STEP = ("name", "from_email", "from_name")


async def change_provider(
    context: Context, workspace_id: uuid.UUID, provider_id: uuid.UUID, patch: ProviderPatch
) -> Provider:
    """Change what is given. What waits for a provider is tried at once where this one may take mail again.

    Raises `NotFound`, `InvalidInput` (a dial on a real provider) and `Conflict` (version, name, kept by MAIL_*).
    """
    async with context.database.transaction() as connection:
        await connection.execute(queries.LOCK_WORKSPACE, workspace_id)
        before = await connection.fetchrow(queries.PROVIDER, workspace_id, provider_id)
        if before is None:
            raise no_such_provider()
        _refuse_unfit(before, patch)
        after = {**before, **patch}
        try:
            await connection.execute(
                queries.UPDATE_PROVIDER, workspace_id, provider_id, after["name"], after["enabled"],
                after["from_email"], after["from_name"], after["sender_domains"], after["sandbox_mode"],
                after["sandbox_failure_rate"],
            )  # fmt: skip
        except asyncpg.UniqueViolationError:
            raise name_taken(after["name"]) from None
        eligible_anew = any(after[name] != before[name] for name in ("enabled", "sender_domains", *DIAL))
        woken = await try_waiting_now(connection, workspace_id) if eligible_anew else 0
        changed = await connection.fetchrow(queries.PROVIDER, workspace_id, provider_id)
        assert changed is not None  # noqa: S101  (its workspace is locked)
    await context.list_cache.renew(workspace_id)
    if woken:
        context.bell.ring([datetime.now(UTC)])
    return shown(changed, context.secrets)


async def put_in_order(context: Context, workspace_id: uuid.UUID, order: Sequence[uuid.UUID]) -> list[Provider]:
    """Put the whole route in this order. Raises `InvalidInput` unless it names every provider once."""
    async with context.database.transaction() as connection:
        await connection.execute(queries.LOCK_WORKSPACE, workspace_id)
        there = {row["id"] for row in await connection.fetch(queries.IN_ROUTE, workspace_id)}
        _refuse_other_than(there, order)
        await connection.execute(queries.PUT_IN_ORDER, workspace_id, order)
    await context.list_cache.renew(workspace_id)
    return await list_providers(context.database, context.secrets, workspace_id)


def _refuse_unfit(before: asyncpg.Record, patch: ProviderPatch) -> None:
    if patch.get("version", before["version"]) != before["version"]:
        raise Conflict("The provider was changed meanwhile: read it again.", code="version_conflict")
    dial = [name for name in DIAL if name in patch]
    if dial and not before["sandbox"]:
        raise InvalidInput(
            "Only sandbox providers have a dial.",
            details=[Detail(name, "This is not a sandbox provider.") for name in dial],
        )
    if before["from_environment"]:
        kept = [name for name in KEPT_IN_STEP if name in patch]
        if kept:
            raise Conflict(
                "This provider is made of the server's MAIL_* settings: change them there.",
                code="kept_by_environment",
                details=[Detail(name, "Kept in step with MAIL_* at every start.") for name in kept],
            )
    elif "name" in patch:
        refuse_reserved_name(patch["name"])


def _refuse_other_than(there: set[uuid.UUID], order: Sequence[uuid.UUID]) -> None:
    details = [
        Detail(f"order[{place}]", "Named twice." if provider_id in there else "There is no such provider.")
        for place, provider_id in enumerate(order)
        if provider_id not in there or provider_id in order[:place]
    ]
    details += [Detail("order", f"{provider_id} is missing.") for provider_id in sorted(there - set(order))]
    if details:
        raise InvalidInput("The order must name every provider of the workspace exactly once.", details=details)
