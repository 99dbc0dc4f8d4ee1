"""Changing an event, as long as nothing of it has begun to leave."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from janus_mail.accounts.callers import Caller
from janus_mail.audit.masking import difference
from janus_mail.audit.record import record
from janus_mail.content.addresses import Mailbox
from janus_mail.delivery import control
from janus_mail.delivery.rollup import roll_up
from janus_mail.errors import Conflict, Detail, InvalidInput, NotFound
from janus_mail.events import queries
from janus_mail.events.attachments import read_files
from janus_mail.events.instants import Instant
from janus_mail.events.intake import keep_files, read_facts
from janus_mail.events.limits import asked_of, check_limits
from janus_mail.events.recipients import as_columns, check_placeholders, read_mailboxes
from janus_mail.events.rows import EventRow, NewFile
from janus_mail.events.schemas import EventChange
from janus_mail.events.show import event_row
from janus_mail.events.understand import (
    Facts,
    check_expiry,
    file_warnings,
    read_sender,
    read_time,
    read_zone,
    route_of,
    time_warnings,
)
from janus_mail.models.states import Priority, State
from janus_mail.storage.database import Connection
from janus_mail.web.context import Context

# Fields of the request that are columns under another name, or as they are.
_PLAIN = {
    "email_subject": "subject", "email_content": "text", "email_html": "html", "headers": "headers", "tags": "tags",
    "metadata": "metadata", "timezone": "timezone",
}  # fmt: skip
_MAY_BE_EMPTY = frozenset(
    {"email_content", "email_html", "timezone", "from_email", "from_name", "expires_at", "reply_to", "attachments"}
)

# What services may be unable to carry: a change of the time alone is never refused for them.
_HAVE_LIMITS = frozenset(
    {"email_subject", "email_content", "email_html", "reply_to", "from_email", "from_name", "headers", "tags",
     "metadata", "attachments"}
)  # fmt: skip


async def change(context: Context, caller: Caller, event_id: uuid.UUID, wanted: EventChange, version: int) -> None:
    """Make the change to this version of the event.

    Raises NotFound, InvalidInput, or Conflict (`version_conflict`, `too_late`).
    """
    files = await read_files(wanted.attachments or ())
    async with context.database.transaction() as connection:
        record = await connection.fetchrow(queries.LOCK_EVENT, caller.workspace_id, event_id)
        if record is None:
            raise NotFound("There is no such event.")
        row = event_row(record)
        if row.version != version:
            message = f"The event is at version {row.version}, not {version}: read it again."
            raise Conflict(message, code="version_conflict")
        facts = await read_facts(context, connection, caller.workspace_id)
        given = {name: getattr(wanted, name) for name in wanted.model_fields_set - {"version"}}
        given = {name: value for name, value in given.items() if value is not None or name in _MAY_BE_EMPTY}
        before = _open_to_all(row)
        if not given:
            raise InvalidInput("Name at least one field to change.", code="nothing_to_change")
        if "attachments" in given:
            row.attachments = [file.column for file in files]
        due_at = _apply(given, row, facts)
        await _check_placeholders(connection, row)
        row.warnings += _check_limits(row, facts) if given.keys() & _HAVE_LIMITS else []
        await _store(connection, row, due_at, given, files)
        await _note(connection, caller, row, before, given)
    context.bell.ring([due_at or row.expected_sent_at])
    await roll_up(context.database, context.list_cache, event_ids=[event_id])


def _apply(given: Mapping[str, Any], row: EventRow, facts: Facts) -> datetime | None:
    """Put what was given into `row`; the new due time if there is one. Raises InvalidInput."""
    for name in given.keys() & _PLAIN.keys():
        setattr(row, _PLAIN[name], given[name])
    if row.text is None and row.html is None:
        message = "An event needs email_content or email_html."
        raise InvalidInput(message, code="missing_fields", details=[Detail("email_content", message)])
    if "priority" in given:
        row.priority = Priority[given["priority"].upper()]
    if "reply_to" in given:
        row.reply_to = as_columns(read_mailboxes(given["reply_to"], "reply_to").recipients)
    if "from_email" in given:
        sender = read_sender(given["from_email"], row.from_name, facts)
        row.from_email, row.from_name = (sender.address, sender.name) if sender else (None, row.from_name)
    if "from_name" in given:
        row.from_name = given["from_name"]
    return _apply_times(given, row, facts)


def _apply_times(given: Mapping[str, Any], row: EventRow, facts: Facts) -> datetime | None:
    zone = read_zone(row.timezone, facts)
    at: Instant | None = None
    expires: Instant | None = None
    if "expected_sent_at" in given:
        at = read_time(given["expected_sent_at"], zone, facts.now)
        row.expected_sent_at = at.at
    if given.get("expires_at") is not None:
        expires = read_time(given["expires_at"], zone, facts.now, "expires_at")
    if "expires_at" in given:
        row.expires_at = expires.at if expires else None
    if row.expires_at is not None and (at or expires):
        check_expiry(row.expires_at, facts.now, row.expected_sent_at)
    row.warnings = [  # of this change, no longer of the first request
        *time_warnings(at, expires, facts.now),
        *file_warnings((file["content_id"] for file in row.attachments), row.html),
    ]
    return max(at.at, facts.now) if at is not None else None


def _check_limits(row: EventRow, facts: Facts) -> list[str]:
    """Raises InvalidInput where no provider can carry it any more."""
    asked = asked_of(row, (Mailbox(to["email"], to["name"]) for to in row.first_recipients))
    chosen = next((provider for provider in facts.providers if provider.id == row.provider_id), None)
    return check_limits(asked, route_of(chosen, facts, failover=row.failover)) if asked is not None else []


def _stopped(event_id: uuid.UUID, states: Sequence[asyncpg.Record]) -> list[str]:
    """Of messages that a change reaches and that yet do not leave by themselves."""
    counts = {state["state"]: state["many"] for state in states}
    named = [state for state in (State.SUPPRESSED, State.FAILED) if state in counts]
    if not named:
        return []
    many, of = sum(counts[state] for state in named), sum(counts.values())
    which = "Its message" if of == 1 else f"All {of:,} messages" if many == of else f"{many:,} of {of:,} messages"
    were = "was" if many == 1 else "were"
    until = f"nothing of that leaves by itself, only after POST /api/events/{event_id}/retry."
    return [f"{which} {were} {' or '.join(named)} before this change: {until}"]


def _open_to_all(row: EventRow) -> dict[str, Any]:
    """What the audit log shows of an event; the rest of it is between sender and recipients."""
    return {
        "expected_sent_at": row.expected_sent_at, "timezone": row.timezone, "expires_at": row.expires_at,
        "priority": Priority(row.priority).name.lower(),
    }  # fmt: skip


async def _note(
    connection: Connection, caller: Caller, row: EventRow, before: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    was, now = difference(before, _open_to_all(row))
    now |= {name: "changed" for name in given if name not in before}
    await record(
        connection, caller, "event.changed", "event", row.id, workspace_id=row.workspace_id, before=was, after=now
    )


async def _check_placeholders(connection: Connection, row: EventRow) -> None:
    if not any("{{" in text for text in (row.subject, row.text, row.html) if text):
        return
    messages = await connection.fetch(queries.UNSENT_VARIABLES, row.workspace_id, row.id)
    check_placeholders(
        ((Mailbox(m["recipient"], m["recipient_name"]), m["variables"]) for m in messages),
        subject=row.subject, text=row.text, html=row.html,
        to_several=len((row.group_recipients or {}).get("to", ())) > 1,
    )  # fmt: skip


async def _store(
    connection: Connection, row: EventRow, due_at: datetime | None, given: Mapping[str, Any], files: Sequence[NewFile]
) -> None:
    """Raises Conflict (`too_late`)."""
    try:
        await control.change(
            connection, row.workspace_id, row.id, due_at=due_at,
            priority=row.priority if "priority" in given else None,
            expires_at=row.expires_at if "expires_at" in given else control.UNSET,
        )  # fmt: skip
    except control.TooLate as error:
        many = "1 message is" if error.count == 1 else f"{error.count} messages are"
        why = f"{many} leaving or have left" if error.count else "None of its messages is to leave any more"
        raise Conflict(f"{why}: the event can no longer change.", code="too_late") from None
    row.warnings += _stopped(row.id, await connection.fetch(queries.STATES, row.workspace_id, row.id))
    await keep_files(connection, row.workspace_id, files)
    await connection.execute(
        queries.UPDATE_EVENT, row.workspace_id, row.id, row.subject, row.text, row.html, row.from_email,
        row.from_name, row.reply_to, row.headers, row.tags, row.metadata, row.expected_sent_at, row.timezone,
        row.priority, row.expires_at, row.warnings, row.attachments,
    )  # fmt: skip
