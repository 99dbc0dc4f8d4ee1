"""Setting up a provider: what it may be called and hold, and its place in the route."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Required, TypedDict, Unpack

import asyncpg
from uuid_utils.compat import uuid7

from janus_mail.accounts.callers import Caller
from janus_mail.audit.actors import SYSTEM
from janus_mail.audit.record import Actor
from janus_mail.availability.allowances import Allowances
from janus_mail.delivery.control import try_all_waiting_now, try_waiting_now
from janus_mail.errors import Conflict
from janus_mail.routing import queries
from janus_mail.routing.addresses import against_hosts
from janus_mail.routing.audited import provider_created, settings_of
from janus_mail.routing.config import refuse_borrowing, valid_config
from janus_mail.routing.read import read_provider
from janus_mail.routing.schemas import MAX_PROVIDERS, Provider, ProviderCreate
from janus_mail.routing.verify import verify_provider
from janus_mail.storage.database import Connection, Database
from janus_mail.storage.secrets import SecretBox
from janus_mail.web import idempotency
from janus_mail.web.context import Context
from janus_mail.web.idempotency import OnceOnly

ENVIRONMENT_NAME = "environment"


class NewProvider(TypedDict, total=False):
    """What a provider is made of; `config` in plain, as its kind's schema says."""

    kind: Required[str]
    name: Required[str]
    sandbox: bool
    config: Mapping[str, object]
    from_email: str | None
    from_name: str | None
    sender_domains: list[str] | None
    rate_per_second: float | None
    daily_quota: int | None
    enabled: bool
    position: int | None


async def accept_provider(
    context: Context,
    caller: Caller,
    wanted: ProviderCreate,
    once: OnceOnly | None = None,
    *,
    verify: bool = False,
) -> tuple[Provider, bool]:
    """Set up what a caller asks for; true says that the same request was answered before. As `create_provider`.

    What waits for a provider is tried at once. With `verify` its service is then asked about the credentials. Raises
    Conflict for the key too.
    """
    refuse_reserved_name(wanted.name)
    workspace_id = caller.workspace_id
    allowed = Allowances.of(context.settings)
    against = await against_hosts(wanted.kind, wanted.config, sandbox=wanted.sandbox, allowed=allowed)
    async with context.database.transaction() as connection:
        kept = await idempotency.begin(connection, workspace_id, once) if once else None
        if kept is not None:
            assert kept.resource_id is not None  # noqa: S101
            provider_id = kept.resource_id
        else:
            if against is not None:
                raise against
            await connection.execute(queries.LOCK_WORKSPACE, workspace_id)
            provider_id = await add_provider(
                connection, context.secrets, workspace_id, actor=caller, lends=allowed.own_credentials,
                **wanted.model_dump(),
            )  # fmt: skip
            if once:
                await idempotency.keep(connection, workspace_id, once, resource_id=provider_id)
    if kept is None:
        await try_all_waiting_now(context.database, workspace_id)  # what did not fit into the transaction
        await context.list_cache.renew(workspace_id)
        context.bell.ring([datetime.now(UTC)])
    if verify and kept is None:
        return await verify_provider(context, workspace_id, provider_id), False
    made = await read_provider(
        context.database, context.secrets, workspace_id, provider_id, public_url=context.settings.public_url
    )
    return made, kept is not None


async def create_provider(
    database: Database, secrets: SecretBox, workspace_id: uuid.UUID, **new: Unpack[NewProvider]
) -> uuid.UUID:
    """Add a provider, at the end of the route unless its position is given; its id.

    Raises `InvalidInput` (unknown kind, a real one without adapter, wrong config) and `Conflict` (name, too many).
    """
    refuse_reserved_name(new["name"])
    async with database.transaction() as connection:
        await connection.execute(queries.LOCK_WORKSPACE, workspace_id)
        return await add_provider(connection, secrets, workspace_id, **new)


async def add_provider(
    connection: Connection,
    secrets: SecretBox,
    workspace_id: uuid.UUID,
    *,
    actor: Actor = SYSTEM,
    from_environment: bool = False,
    lends: bool = False,
    **new: Unpack[NewProvider],
) -> uuid.UUID:
    """The same in a transaction that holds the workspace's row. `lends`: with credentials of the server's own, if it
    asks for them."""
    provider_id = uuid7()
    sandbox = new.get("sandbox", False)
    config = valid_config(new["kind"], new.get("config", {}), sandbox=sandbox)
    refuse_borrowing(new["kind"], config, sandbox=sandbox, lends=lends)
    route: list[uuid.UUID] = [row["id"] for row in await connection.fetch(queries.IN_ROUTE, workspace_id)]
    if len(route) >= MAX_PROVIDERS:
        raise Conflict(f"A workspace has up to {MAX_PROVIDERS:,} providers.", code="too_many_providers")
    try:
        await connection.execute(
            queries.INSERT_PROVIDER, provider_id, workspace_id, new["kind"], new["name"], sandbox, secrets.seal(config),
            new.get("from_email"), new.get("from_name"), new.get("sender_domains"), new.get("rate_per_second"),
            new.get("daily_quota"), new.get("enabled", True), from_environment,
        )  # fmt: skip
    except asyncpg.UniqueViolationError:
        raise name_taken(new["name"]) from None
    position = new.get("position")
    if position is not None and position <= len(route):
        route.insert(position - 1, provider_id)
        await connection.execute(queries.PUT_IN_ORDER, workspace_id, route)
    await provider_created(connection, actor, workspace_id, provider_id, new["kind"], settings_of(new, config))
    await try_waiting_now(connection, workspace_id)
    return provider_id


def refuse_reserved_name(name: str) -> None:
    """Raises `Conflict`: the provider of that name is made of MAIL_* settings."""
    if name.casefold() == ENVIRONMENT_NAME:  # routes find a provider by its name in any case
        raise Conflict(
            f"The name {ENVIRONMENT_NAME} belongs to the provider that MAIL_* settings make.", code="name_taken"
        )


def name_taken(name: str) -> Conflict:
    return Conflict(f"The workspace has a provider named {name} already.", code="name_taken")
