"""What providers tell of mail that they took: how far it has come, and proof where nobody knew whether it had left."""

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from janus_mail.delivery.queries import evidence
from janus_mail.models.states import FeedbackType, Priority, State
from janus_mail.storage.database import Connection, Database
from janus_mail.telemetry import metrics

_SAID_MOST = 300


class Report(NamedTuple):
    """One thing that a provider told of one message; `member`: of this recipient of its group, and its role.

    `hearsay`: whoever has the mail may have said so. It moves the delivery status, and proves nothing.
    """

    message_id: uuid.UUID
    workspace_id: uuid.UUID
    provider_id: uuid.UUID
    type: FeedbackType
    reason: str | None
    received_at: datetime  # by the database's clock
    in_doubt: bool  # the message is not known to be sent
    hearsay: bool = False
    member: tuple[str, str] | None = None


class Proven(NamedTuple):
    """A message that was in doubt and is no more."""

    state: State
    priority: int
    lateness_s: float


async def take(connection: Connection, reports: Sequence[Report]) -> list[Proven]:
    """In the caller's transaction, which has locked the messages in the order of their ids; call `count` when it has
    committed.

    Any known word is proof that the provider had the mail, «rejected» and «failed» too: it took it before it did not
    send it, so sending it again would be a second mail. An unknown word says nothing.
    """
    known = [report for report in reports if report.type is not FeedbackType.UNKNOWN]
    if not known:
        return []
    await connection.execute(evidence.REACHED, [r.message_id for r in known], [r.type.value for r in known])
    noted = await _note(connection, [r for r in known if r.in_doubt and not r.hearsay])
    if members := [(r, *r.member) for r in known if r.member is not None]:
        await connection.execute(
            evidence.REACHED_RECIPIENT, [r.message_id for r, _, _ in members], [address for _, address, _ in members],
            [r.workspace_id for r, _, _ in members], [role for _, _, role in members],
            [r.type.value for r, _, _ in members], [r.reason or "" for r, _, _ in members],
            [r.hearsay for r, _, _ in members],
        )  # fmt: skip
    return await _settle(connection, noted)


async def settle(database: Database, most: int) -> list[Proven]:
    """What is due to be resolved and is proven already: its proof was faster than the doubt. At most so many."""
    async with database.transaction() as connection:
        rows = await connection.fetch(evidence.DUE_AND_PROVEN, most)
        return await _settle(connection, {row["id"] for row in rows})


def count(proven: Sequence[Proven]) -> None:
    """In the metrics; after the commit."""
    for one in proven:
        metrics.message_sent(Priority(one.priority).name.lower(), one.lateness_s)


async def _note(connection: Connection, reports: Sequence[Report]) -> set[uuid.UUID]:
    """On the tries that they may be about; the messages of which something was proven by it."""
    if not reports:
        return set()
    rows = await connection.fetch(
        evidence.NOTE, [r.message_id for r in reports], [r.provider_id for r in reports],
        [r.member[0] if r.member is not None else None for r in reports], [r.received_at for r in reports],
        [_said(r) for r in reports],
    )  # fmt: skip
    return {row["message_id"] for row in rows}


async def _settle(connection: Connection, message_ids: Collection[uuid.UUID]) -> list[Proven]:
    if not message_ids:
        return []
    ids = sorted(message_ids)
    await connection.execute(evidence.TAKEN_WITH_IT, ids)
    rows: list[asyncpg.Record] = await connection.fetch(evidence.SETTLE, ids)
    return [Proven(State(row["state"]), row["priority"], row["lateness_s"]) for row in rows]


def _said(report: Report) -> str:
    return f"feedback: {report.type.value} {report.reason or ''}".rstrip()[:_SAID_MOST]
