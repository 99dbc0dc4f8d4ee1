"""Showing one event or one message."""

import uuid
from collections import Counter
from typing import Any

import asyncpg

from janus_mail.accounts.callers import Caller
from janus_mail.delivery.rollup import status_of
from janus_mail.errors import NotFound
from janus_mail.events import queries
from janus_mail.events.answers import (
    AttemptOut,
    EventOut,
    FeedbackOut,
    MessageDetail,
    MessageOut,
    ProviderRef,
    RecipientOut,
    RecipientsReached,
    UnderstoodEvent,
)
from janus_mail.events.rows import EVENT_COLUMNS, EventRow
from janus_mail.models.states import FINAL, Priority, RecipientState, State
from janus_mail.web.context import Context

_NO_EVENT = "There is no such event."
_NO_MESSAGE = "There is no such message."
_FEEDBACK_MOST = 100
_NONE_YET = dict.fromkeys(State, 0)
_NOT_REACHED = (State.FAILED, State.CANCELED, State.EXPIRED, State.SUPPRESSED)
_PRIORITIES = {priority.value: priority.name.lower() for priority in Priority}


async def read_event(context: Context, caller: Caller, event_id: uuid.UUID) -> EventOut:
    """An event, and how many of a group's recipients it reached. Raises NotFound."""
    record = await context.database.pool.fetchrow(queries.EVENT, caller.workspace_id, event_id)
    if record is None:
        raise NotFound(_NO_EVENT)
    shown = show_event(event_row(record))
    if shown.send_as == "group":
        shown.recipients_reached = await _reached(context, caller, shown)
    return shown


async def read_event_now(context: Context, caller: Caller, event_id: uuid.UUID) -> EventOut:
    """As `read_event`, with status and counts of this moment, which the roll-up may not have written yet."""
    async with context.database.transaction() as connection:
        record = await connection.fetchrow(queries.EVENT, caller.workspace_id, event_id)
        states = await connection.fetch(queries.STATES, caller.workspace_id, event_id)
    if record is None:
        raise NotFound(_NO_EVENT)
    row = event_row(record)
    row.counts = {state["state"]: state["many"] for state in states}
    row.status = status_of(row.counts, begun=any(state["attempts"] for state in states))
    row.exactly_sent_at = min(filter(None, (state["first_sent_at"] for state in states)), default=None)
    row.error_message = next(filter(None, (state["last_error"] for state in states)), None)
    shown = show_event(row)
    if shown.send_as == "group":
        shown.recipients_reached = await _reached(context, caller, shown)
    return shown


async def require_event(context: Context, caller: Caller, event_id: uuid.UUID) -> None:
    """Raises NotFound."""
    if not await context.database.pool.fetchval(queries.EVENT_EXISTS, caller.workspace_id, event_id):
        raise NotFound(_NO_EVENT)


async def read_message(context: Context, caller: Caller, message_id: uuid.UUID) -> MessageDetail:
    """A message with its attempts, what came back and, of a group, what became of each recipient. Raises NotFound."""
    async with context.database.transaction() as connection:
        record = await connection.fetchrow(queries.MESSAGE, caller.workspace_id, message_id)
        attempts = await connection.fetch(queries.ATTEMPTS, caller.workspace_id, message_id)
        recipients = await connection.fetch(queries.RECIPIENTS, caller.workspace_id, message_id)
        feedback = await connection.fetch(queries.FEEDBACK, caller.workspace_id, message_id, _FEEDBACK_MOST)
    if record is None:
        raise NotFound(_NO_MESSAGE)
    return MessageDetail(
        **_message(record),
        attempts=[_attempt(attempt) for attempt in attempts],
        recipients=[_recipient(recipient, State(record["state"])) for recipient in recipients],
        feedback=[_feedback(one) for one in feedback],
    )


async def read_file(context: Context, caller: Caller, event_id: uuid.UUID, place: int) -> asyncpg.Record:
    """An event's file: `filename`, `content_type`, `content`. `place` counts from 0. Raises NotFound."""
    record = await context.database.pool.fetchrow(queries.FILE, caller.workspace_id, event_id, place)
    if record is None:
        raise NotFound("There is no such attachment.")
    return record


def event_row(record: asyncpg.Record) -> EventRow:
    """A record that has at least the columns of `EventRow`."""
    return EventRow(**{name: record[name] for name in EVENT_COLUMNS})


def show_event(row: EventRow) -> EventOut:
    return EventOut.model_validate(
        {
            **_content(row), "id": row.id, "status": row.status, "created_at": row.created_at,
            "created_by": row.created_by, "updated_at": row.updated_at, "exactly_sent_at": row.exactly_sent_at,
            "error_message": row.error_message, "counts": _NONE_YET | row.counts, "version": row.version,
        }
    )  # fmt: skip


def show_understood(row: EventRow) -> UnderstoodEvent:
    """An event that is not stored."""
    return UnderstoodEvent.model_validate(_content(row))


def _content(row: EventRow) -> dict[str, Any]:
    group = row.group_recipients or {}
    return {
        "email_subject": row.subject, "email_content": row.text, "email_html": row.html,
        "expected_sent_at": row.expected_sent_at, "timezone": row.timezone,
        "recipients": row.first_recipients, "recipients_count": row.recipients_count, "cc": group.get("cc", []),
        "bcc": group.get("bcc", []), "reply_to": row.reply_to, "send_as": row.send_as,
        "from_email": row.from_email, "from_name": row.from_name, "provider": row.provider,
        "failover": row.failover, "priority": _PRIORITIES[row.priority], "expires_at": row.expires_at,
        "on_uncertain": row.on_uncertain, "headers": row.headers, "tags": row.tags, "metadata": row.metadata,
        "attachments": row.attachments, "warnings": row.warnings,
    }  # fmt: skip


def show_message(record: asyncpg.Record) -> MessageOut:
    return MessageOut(**_message(record))


def _message(record: asyncpg.Record) -> dict[str, Any]:
    shown = dict(record)
    provider = ProviderRef.model_construct(
        id=shown.pop("provider_id"), kind=shown.pop("provider_kind"), name=shown.pop("provider_name")
    )
    shown["provider"] = provider if provider.id is not None else None
    if shown["state"] in FINAL:
        shown["next_try_at"] = None
    return shown


def _attempt(record: asyncpg.Record) -> AttemptOut:
    shown = dict(record)
    return AttemptOut(provider=_provider(shown), **shown)


def _feedback(record: asyncpg.Record) -> FeedbackOut:
    shown = dict(record)
    return FeedbackOut(provider=_provider(shown), **shown)


def _provider(shown: dict[str, Any]) -> ProviderRef:
    """Taken out of what is shown."""
    return ProviderRef(id=shown.pop("provider_id"), kind=shown.pop("provider_kind"), name=shown.pop("provider_name"))


def _recipient(record: asyncpg.Record, message: State) -> RecipientOut:
    return RecipientOut(**{**record, "state": _recipient_state(record["state"], message)})


def _recipient_state(state: str | None, message: State) -> str:
    """Of whom no server spoke shares the message's end; what was deferred fails when the message ends without it."""
    if state is None:
        return message.value if message in FINAL or message is State.UNCERTAIN else "waiting"
    if state == RecipientState.DEFERRED and message in FINAL and message is not State.PARKED:
        return RecipientState.FAILED.value
    return state


async def _reached(context: Context, caller: Caller, group: EventOut) -> RecipientsReached:
    many: Counter[str] = Counter()
    for row in await context.database.pool.fetch(queries.REACHED, caller.workspace_id, group.id):
        message = State(row["message"])
        spoken_of = sum(row[state] for state in RecipientState)
        for state in RecipientState:
            many[_recipient_state(state, message)] += row[state]
        many[_recipient_state(None, message)] += group.recipients_count - spoken_of
    failed = sum(many[state] for state in _NOT_REACHED)
    return RecipientsReached(sent=many["sent"], failed=failed, waiting=group.recipients_count - many["sent"] - failed)
