"""The lines of an event's table of messages. Pure: from rows to words."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from janus_mail.events.answers import EventOut
from janus_mail.models.states import State
from janus_mail.pages.feedback_words import LOOKS, delivery_note
from janus_mail.pages.group import Group
from janus_mail.pages.timeline import Step, in_doubt
from janus_mail.pages.times import Clock, number
from janus_mail.pages.waiting import Wait, in_full
from janus_mail.pages.words import STATES, WAITING, Look, explain, met, why_suppressed


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One line of the table of messages; with `steps` it is opened."""

    id: uuid.UUID
    recipient: str
    look: Look
    note: str
    provider: str | None
    tries: int
    left_at: datetime | None
    href: str
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class Table:
    """What all lines share. `route`: the names of the providers that a mail may take; `group`: whom the one is to."""

    event: EventOut
    route: Sequence[str]
    group: Group | None
    clock: Clock


def message_row(table: Table, row: asyncpg.Record, href: str, steps: Sequence[Step]) -> MessageRow:
    event, group = table.event, table.group
    note = _note(table, row)
    if event.send_as == "group" and event.recipients_count > 1 and not note:
        note = f"and {number(event.recipients_count - 1)} more, in one mail"
    look = WAITING if row["state"] == State.SCHEDULED and row["waiting_for"] else STATES[row["state"]]
    if row["state"] == State.SENT and row["delivery_status"] is not None:
        look = LOOKS[row["delivery_status"]]
    if row["state"] == State.SENT and group is not None and group.in_part:
        look = group.look
    return MessageRow(
        row["id"], row["recipient"], look, note, row["provider_name"], row["attempt_count"], row["sent_at"], href, steps
    )


def _note(table: Table, row: asyncpg.Record) -> str:
    """The second line, where there is something to say."""
    short, said = explain(row["last_error"])
    match row["state"]:
        case State.SCHEDULED if row["waiting_for"]:
            through = row["provider_name"]
            second_copy = row["resends"] > 0 and through is not None
            route = [through] if second_copy else table.route
            wait = Wait(row["waiting_for"], row["next_try_at"], route, second_copy=second_copy)
            return in_full(wait, table.clock, met(row["last_error"], through))
        case State.SENT:
            return delivery_note(row["delivery_status"], row["provider_name"], row["reason"], heard=row["heard"])
        case State.FAILED:
            return f"{short}: {said}" if said else short
        case State.UNCERTAIN:
            return f"{short}; {in_doubt(table.event, row['resends'], row['next_try_at'], table.clock)}"
        case State.PARKED:
            return f"{short}; your decision"
        case State.SUPPRESSED:
            return why_suppressed(row["last_error"])
    return ""
