"""Accepting: an event and its messages are stored in one transaction; the answer means that they are committed."""

import uuid
from collections.abc import Sequence
from itertools import chain
from zoneinfo import ZoneInfo

import orjson

from janus_mail.accounts.access import Caller
from janus_mail.delivery.crash_points import reached
from janus_mail.errors import NotFound
from janus_mail.events import queries
from janus_mail.events.answers import EventOut
from janus_mail.events.rows import NewEvent
from janus_mail.events.schemas import EventCreate
from janus_mail.events.show import read_event, show_event
from janus_mail.events.understand import Facts, KnownProvider, understand
from janus_mail.storage.database import Connection
from janus_mail.telemetry import metrics
from janus_mail.web import idempotency
from janus_mail.web.context import Context
from janus_mail.web.idempotency import OnceOnly


async def accept(context: Context, caller: Caller, event: EventCreate) -> EventOut:
    """Store what was understood and wake the workers. Raises InvalidInput."""
    async with context.database.pool.acquire() as connection:
        new = await _make(context, connection, caller, event)
    await announce(context, caller.workspace_id, [new])
    return show_event(new.row)


async def accept_once(context: Context, caller: Caller, event: EventCreate, once: OnceOnly) -> tuple[EventOut, bool]:
    """As `accept`, but a repeated request is answered with what the first one made; true says that it was.

    Raises InvalidInput, or Conflict for the key.
    """
    async with context.database.transaction() as connection:
        kept = await idempotency.begin(connection, caller.workspace_id, once)
        if kept is None:
            new = await _make(context, connection, caller, event)
            await idempotency.keep(connection, caller.workspace_id, once, resource_id=new.row.id)
    if kept is not None:
        assert kept.resource_id is not None  # noqa: S101
        return await read_event(context, caller, kept.resource_id), True
    await announce(context, caller.workspace_id, [new])
    return show_event(new.row), False


async def _make(context: Context, connection: Connection, caller: Caller, event: EventCreate) -> NewEvent:
    facts = await read_facts(context, connection, caller.workspace_id)
    new = understand(event, facts, workspace_id=caller.workspace_id, created_by=caller.label)
    await insert(context, connection, caller.workspace_id, [new])
    return new


async def announce(context: Context, workspace_id: uuid.UUID, new: Sequence[NewEvent]) -> None:
    """After the commit. Whatever is lost here, or never comes to be called, the patrol makes good."""
    reached("after_accept")
    metrics.accepted(len(new), sum(len(event.messages) for event in new))
    context.bell.ring(event.due_at for event in new)
    await context.list_cache.renew(workspace_id)


async def read_facts(context: Context, connection: Connection, workspace_id: uuid.UUID) -> Facts:
    """Raises NotFound when the workspace is gone."""
    rows = await connection.fetch(queries.FACTS, workspace_id)
    if not rows:
        raise NotFound("The workspace is gone.")
    first = rows[0]
    return Facts(
        now=first["now"], zone=ZoneInfo(first["timezone"] or context.settings.tz), from_email=first["from_email"],
        allowed_senders=first["allowed_senders"], on_uncertain=first["on_uncertain"],
        providers=[
            KnownProvider(row["provider_id"], row["kind"], row["name"], row["enabled"], row["sandbox"],
                          row["provider_from_email"])
            for row in rows if row["provider_id"] is not None
        ],
    )  # fmt: skip


async def insert(context: Context, connection: Connection, workspace_id: uuid.UUID, new: Sequence[NewEvent]) -> None:
    """All or none, in one statement."""
    rows = [event.row for event in new]
    messages = list(chain.from_iterable(((event.row.id, m) for m in event.messages) for event in new))
    await connection.execute(
        queries.INSERT_EVENTS, workspace_id, context.settings.give_up_seconds,
        [r.id for r in rows], [r.subject for r in rows], [r.text for r in rows], [r.html for r in rows],
        [r.from_email for r in rows], [r.from_name for r in rows], [_json(r.reply_to) for r in rows],
        [_json(r.headers) for r in rows], [_json(r.tags) for r in rows], [_json(r.metadata) for r in rows],
        [r.expected_sent_at for r in rows], [r.timezone for r in rows], [r.priority for r in rows],
        [r.expires_at for r in rows], [r.send_as for r in rows],
        [r.group_recipients and _json(r.group_recipients) for r in rows], [_json(r.first_recipients) for r in rows],
        [r.recipients_count for r in rows], [r.provider for r in rows], [r.provider_id for r in rows],
        [r.failover for r in rows],
        [r.on_uncertain for r in rows], [_json(r.warnings) for r in rows], [r.created_by for r in rows],
        [_json(r.counts) for r in rows], [r.created_at for r in rows], [event.due_at for event in new],
        [m.id for _, m in messages], [event_id for event_id, _ in messages], [m.recipient for _, m in messages],
        [m.recipient_name for _, m in messages], [_json(m.variables) for _, m in messages],
    )  # fmt: skip


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
