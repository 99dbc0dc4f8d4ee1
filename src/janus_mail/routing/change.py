"""Changing, switching and removing a provider, another address for its hook, and the order of a workspace's route."""

import secrets
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg

from janus_mail.accounts.callers import Caller
from janus_mail.audit.record import record
from janus_mail.availability.allowances import Allowances
from janus_mail.availability.circuits import close_by_hand, open_by_hand, settings_changed
from janus_mail.delivery.control import AT_ONCE, try_all_waiting_now, try_waiting_now
from janus_mail.errors import Conflict, Detail, InvalidInput
from janus_mail.routing import queries
from janus_mail.routing.addresses import against_hosts
from janus_mail.routing.audited import (
    PROVIDER,
    provider_changed,
    provider_removed,
    route_reordered,
    settings_of,
)
from janus_mail.routing.config import refuse_borrowing, valid_config, with_stored_secrets
from janus_mail.routing.create import name_taken, refuse_reserved_name
from janus_mail.routing.read import list_providers, no_such_provider, shown
from janus_mail.routing.schemas import CircuitSwitch, Provider, ProviderPatch
from janus_mail.routing.verify import verify_provider
from janus_mail.storage.secrets import UnreadableSecret
from janus_mail.web.context import Context

DIAL = ("sandbox_mode", "sandbox_failure_rate")
KEPT_IN_STEP = ("name", "config", "from_email", "from_name")
# With another of these it may take what it refused, and its circuit starts afresh.
_DECIDING = ("enabled", "config", "sender_domains", *DIAL)
_LIMITS = ("rate_per_second", "daily_quota")
_HOOK_TOKEN_BYTES = 16


async def change_provider(
    context: Context, caller: Caller, provider_id: uuid.UUID, patch: ProviderPatch, *, verify: bool = False
) -> Provider:
    """Change what is given. What waits for a provider is tried at once where this one may take mail again.

    With `verify` the service is asked about another config once it is stored. Raises `NotFound`, `InvalidInput`
    (config, dial of a real provider) and `Conflict` (version, name, kept by MAIL_*).
    """
    woken, workspace_id = 0, caller.workspace_id
    against = await _against_hosts(context, workspace_id, provider_id, patch)
    async with context.database.transaction() as connection:
        await connection.execute(queries.LOCK_WORKSPACE, workspace_id)
        before = await connection.fetchrow(queries.PROVIDER_TO_CHANGE, workspace_id, provider_id)
        if before is None:
            raise no_such_provider()
        _refuse_unfit(before, patch)
        after = {**before, **patch}
        if "config" in patch:
            after["config"] = _sealed(context, before, patch["config"], against)
        changed = {name for name in after if after[name] != before[name]}
        try:
            await connection.execute(
                queries.UPDATE_PROVIDER, workspace_id, provider_id, after["name"], after["enabled"],
                after["config"] if "config" in changed else None, after["from_email"], after["from_name"],
                after["sender_domains"], after["rate_per_second"], after["daily_quota"], after["sandbox_mode"],
                after["sandbox_failure_rate"],
            )  # fmt: skip
        except asyncpg.UniqueViolationError:
            raise name_taken(after["name"]) from None
        await provider_changed(
            connection, caller, workspace_id, provider_id, before["kind"], _in_plain(context, {**before}),
            _in_plain(context, after),
        )  # fmt: skip
        if before["daily_quota"] is None and after["daily_quota"] is not None:
            await connection.execute(queries.COUNT_TODAY, workspace_id, provider_id)
        if changed.intersection(_DECIDING):
            await settings_changed(connection, workspace_id, provider_id)
        if changed.intersection((*_DECIDING, *_LIMITS)):
            woken = await try_waiting_now(connection, workspace_id)
        now = await connection.fetchrow(queries.PROVIDER, workspace_id, provider_id)
        assert now is not None  # noqa: S101  (its workspace is locked)
    await context.list_cache.renew(workspace_id)
    await _go_on(context, workspace_id, woken)
    if verify and "config" in changed:
        return await verify_provider(context, workspace_id, provider_id)
    return shown(now, context.secrets, context.settings.public_url)


async def remove_provider(context: Context, caller: Caller, provider_id: uuid.UUID) -> Provider:
    """Take it out of the route; as it was. What waited for it is tried anew with the others.

    Raises `NotFound`, and `Conflict` (`kept_by_environment`) for the one of MAIL_*, which comes back at every start.
    """
    workspace_id = caller.workspace_id
    async with context.database.transaction() as connection:
        await connection.execute(queries.LOCK_WORKSPACE, workspace_id)
        row = await connection.fetchrow(queries.PROVIDER, workspace_id, provider_id)
        if row is None:
            raise no_such_provider()
        if row["from_environment"]:
            raise Conflict(
                "This provider is made of the server's MAIL_* settings: take MAIL_SERVER away, or disable it.",
                code="kept_by_environment",
            )
        await connection.execute(queries.REMOVE_PROVIDER, provider_id)
        said = _in_plain(context, {**row})
        await provider_removed(connection, caller, workspace_id, provider_id, row["kind"], said)
        woken = await try_waiting_now(connection, workspace_id)
    await context.list_cache.renew(workspace_id)
    await _go_on(context, workspace_id, woken)
    return shown(row, context.secrets, context.settings.public_url)


async def switch_circuit(context: Context, caller: Caller, provider_id: uuid.UUID, switch: CircuitSwitch) -> Provider:
    """Open or close a provider's circuit by hand. What waits is tried at once when it is closed. Raises `NotFound`.

    One that a person opened stays as it is unless another reason is given.
    """
    woken, workspace_id, actor = 0, caller.workspace_id, caller.label
    async with context.database.transaction() as connection:
        await connection.execute(queries.LOCK_WORKSPACE, workspace_id)
        before = await connection.fetchrow(queries.PROVIDER, workspace_id, provider_id)
        if before is None:
            raise no_such_provider()
        if switch.state == "open":
            if not before["circuit_by_hand"] or switch.reason not in (None, before["circuit_reason"]):
                await open_by_hand(connection, workspace_id, provider_id, actor=actor, reason=switch.reason)
                await record(
                    connection, caller, "circuit.opened", PROVIDER, provider_id, workspace_id=workspace_id,
                    name=before["name"], after={"reason": switch.reason},
                )  # fmt: skip
        else:
            await close_by_hand(connection, workspace_id, provider_id, actor=actor)
            await record(
                connection, caller, "circuit.closed", PROVIDER, provider_id, workspace_id=workspace_id,
                name=before["name"],
            )  # fmt: skip
            woken = await try_waiting_now(connection, workspace_id)
        now = await connection.fetchrow(queries.PROVIDER, workspace_id, provider_id)
        assert now is not None  # noqa: S101  (its workspace is locked)
    await _go_on(context, workspace_id, woken)
    return shown(now, context.secrets, context.settings.public_url)


async def renew_hook(context: Context, caller: Caller, provider_id: uuid.UUID) -> Provider:
    """Its service must post to another address from now on. Raises `NotFound`.

    Every process refuses the one before as soon as it reads the row again, within a second.
    """
    workspace_id = caller.workspace_id
    async with context.database.transaction() as connection:
        await connection.execute(queries.LOCK_WORKSPACE, workspace_id)
        await connection.execute(queries.RENEW_HOOK, workspace_id, provider_id, secrets.token_hex(_HOOK_TOKEN_BYTES))
        now = await connection.fetchrow(queries.PROVIDER, workspace_id, provider_id)
        if now is None:
            raise no_such_provider()
        await record(
            connection, caller, "provider.hook_renewed", PROVIDER, provider_id, workspace_id=workspace_id,
            name=now["name"],
        )  # fmt: skip
    return shown(now, context.secrets, context.settings.public_url)


async def put_in_order(context: Context, caller: Caller, order: Sequence[uuid.UUID]) -> list[Provider]:
    """Put the whole route in this order. Raises `InvalidInput` unless it names every provider once."""
    workspace_id = caller.workspace_id
    async with context.database.transaction() as connection:
        await connection.execute(queries.LOCK_WORKSPACE, workspace_id)
        there = {row["id"]: row["name"] for row in await connection.fetch(queries.IN_ROUTE, workspace_id)}
        _refuse_other_than(set(there), order)
        await connection.execute(queries.PUT_IN_ORDER, workspace_id, order)
        names = [there[provider_id] for provider_id in order]
        await route_reordered(connection, caller, workspace_id, list(there.values()), names)
    await context.list_cache.renew(workspace_id)
    return await list_providers(context.database, context.secrets, workspace_id, public_url=context.settings.public_url)


async def _go_on(context: Context, workspace_id: uuid.UUID, woken: int) -> None:
    """After the commit: the workers see to what is due now, and what did not fit into the transaction is due too."""
    if woken == AT_ONCE:
        await try_all_waiting_now(context.database, workspace_id)
    if woken:
        context.bell.ring([datetime.now(UTC)])


async def _against_hosts(
    context: Context, workspace_id: uuid.UUID, provider_id: uuid.UUID, patch: ProviderPatch
) -> InvalidInput | None:
    """Asked before the transaction, in which nobody is to wait for a look-up of names."""
    if "config" not in patch:
        return None
    row = await context.database.pool.fetchrow(queries.PROVIDER, workspace_id, provider_id)
    if row is None:  # as the transaction will find
        return None
    allowed = Allowances.of(context.settings)
    return await against_hosts(row["kind"], patch["config"], sandbox=row["sandbox"], allowed=allowed)


def _sealed(
    context: Context, before: asyncpg.Record, given: Mapping[str, object], against: InvalidInput | None
) -> bytes:
    """The config to store, the same bytes where it says the same. Raises `InvalidInput`: another one must have
    nothing `against` it."""
    sealed: bytes = before["config"]
    try:
        stored = context.secrets.open(sealed)
    except UnreadableSecret:  # nothing of it can be kept, and a whole config may take its place
        stored = None
    config = with_stored_secrets(before["kind"], given, stored or {})
    config = valid_config(before["kind"], config, sandbox=before["sandbox"])
    if config == stored:
        return sealed
    if against is not None:
        raise against
    lends = context.settings.aws_default_credentials
    refuse_borrowing(before["kind"], config, sandbox=before["sandbox"], lends=lends)
    return context.secrets.seal(config)


def _in_plain(context: Context, row: Mapping[str, Any]) -> dict[str, Any]:
    """As the audit log compares it; without the config where none of the keys opens it."""
    try:
        config = context.secrets.open(row["config"])
    except UnreadableSecret:
        config = None
    return settings_of(row, config)


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
