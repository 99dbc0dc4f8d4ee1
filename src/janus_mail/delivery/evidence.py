"""What providers tell of mail that they took: how far it has come, and proof where nobody knew whether it had left."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from janus_mail.delivery.queries import evidence
from janus_mail.models.states import FeedbackType, Priority, State
from janus_mail.storage.database import Connection, Database
from janus_mail.telemetry import metrics

_SAID_MOST = 300


class Report(NamedTuple):
    """One thing that a provider told of one message; `member`: of this recipient of its group, and its role."""

    message_id: uuid.UUID
    workspace_id: uuid.UUID
    provider_id: uuid.UUID
    type: FeedbackType
    reason: str | None
    in_doubt: bool  # the message is not known to be sent
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
    if members := [(r, *r.member) for r in known if r.member is not None]:
        await connection.execute(
            evidence.REACHED_RECIPIENT, [r.message_id for r, _, _ in members], [address for _, address, _ in members],
            [r.workspace_id for r, _, _ in members], [role for _, _, role in members],
            [r.type.value for r, _, _ in members], [r.reason or "" for r, _, _ in members],
        )  # fmt: skip
    doubtful = [(r.message_id, r.provider_id, _said(r)) for r in known if r.in_doubt]
    return await _prove(connection, doubtful)


async def settle(database: Database, most: int) -> list[Proven]:
    """What is due to be resolved and is proven already: its proof was faster than the doubt. At most so many."""
    async with database.transaction() as connection:
        rows = await connection.fetch(evidence.DUE_AND_PROVEN, most)
        return await _prove(connection, [(row["message_id"], row["provider_id"], row["said"]) for row in rows])


def count(proven: Sequence[Proven]) -> None:
    """In the metrics; after the commit."""
    for one in proven:
        metrics.message_sent(Priority(one.priority).name.lower(), one.lateness_s)


async def _prove(connection: Connection, given: Sequence[tuple[uuid.UUID, uuid.UUID, str]]) -> list[Proven]:
    if not given:
        return []
    message_ids, provider_ids, said = zip(*given, strict=True)
    rows: list[asyncpg.Record] = await connection.fetch(evidence.PROVE, message_ids, provider_ids, said)
    if again := [row["id"] for row in rows if row["state"] == State.SCHEDULED]:
        await connection.execute(evidence.TAKEN_WITH_IT, again)
    return [Proven(State(row["state"]), row["priority"], row["lateness_s"]) for row in rows]


def _said(report: Report) -> str:
    return f"feedback: {report.type.value} {report.reason or ''}".rstrip()[:_SAID_MOST]
