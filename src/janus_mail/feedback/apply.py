"""What posts lead to, in one transaction with their going: feedback events, each once; how far mails have come; proof
for what was in doubt; addresses that must not be mailed."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg
import orjson
from uuid_utils.compat import uuid7

from janus_mail.delivery import evidence
from janus_mail.delivery.evidence import Proven, Report
from janus_mail.feedback import queries
from janus_mail.feedback.reader import Happened
from janus_mail.feedback.readers import DSN
from janus_mail.models.states import FeedbackType, State, SuppressionReason
from janus_mail.storage.database import Connection
from janus_mail.suppressions.add import Found, suppress

_REASON_MOST: Final = 2000
_SUPPRESSES: Final = {
    FeedbackType.BOUNCED_HARD: SuppressionReason.HARD_BOUNCE,
    FeedbackType.COMPLAINED: SuppressionReason.COMPLAINT,
    FeedbackType.UNSUBSCRIBED: SuppressionReason.UNSUBSCRIBE,
}
_SETTLED: Final = frozenset({State.SENT, State.FAILED, State.CANCELED, State.EXPIRED, State.SUPPRESSED})


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a post."""

    post_id: uuid.UUID
    workspace_id: uuid.UUID
    provider_id: uuid.UUID
    provider_name: str
    kind: str  # who read it: the provider's kind, or `dsn`
    received_at: datetime
    may_wait: bool  # whether the post may be worked on again, for what cannot be matched yet
    happened: Happened


@dataclass(frozen=True, slots=True)
class Applied:
    """`waiting`: posts of which something is about a mail whose provider has not told us its id yet: again later."""

    events: int
    waiting: set[uuid.UUID]
    proven: list[Proven]


@dataclass(frozen=True, slots=True)
class _Message:
    id: uuid.UUID
    recipient: str
    state: State
    members: dict[str, tuple[str, str]]  # of a group, by their addresses in lower case: address and role


async def apply(connection: Connection, told: Sequence[Told]) -> Applied:
    """In the caller's transaction; `evidence.count` what is proven once it has committed.

    Locks messages by id, then events by key, then addresses: two of these never wait for one another in a ring.
    """
    fresh = list({(one.provider_id, one.happened.key): one for one in reversed(told)}.values())
    fresh.sort(key=lambda one: (one.provider_id, one.happened.key))
    found = await _match(connection, fresh)
    waiting = await _outrunning(connection, [one for one, message in zip(fresh, found, strict=True) if message is None])
    pairs = [(one, message) for one, message in zip(fresh, found, strict=True) if id(one) not in waiting]
    new = await _insert(connection, pairs)
    proven = await evidence.take(connection, [_report(one, message) for one, message in new if message is not None])
    await suppress(connection, [one for pair in new if (one := _suppression(*pair)) is not None])
    if heard := sorted({one.provider_id for one in fresh if one.kind != DSN}):
        await connection.execute(queries.HEARD, heard)
    return Applied(len(new), {one.post_id for one in fresh if id(one) in waiting}, proven)


async def _match(connection: Connection, told: Sequence[Told]) -> list[_Message | None]:
    """The message of each, locked; none where it is nobody's, or another workspace's."""
    recipients = [one.happened.recipient for one in told]
    rows = await connection.fetch(
        queries.FIND, [one.workspace_id for one in told], [_uuid(one.happened.message_uuid) for one in told],
        recipients, [recipient and recipient.lower() for recipient in recipients],
        # Anybody may name a service's id in a mail.
        [one.happened.provider_message_id if one.kind != DSN else None for one in told],
    )  # fmt: skip
    ids = {row["n"] - 1: row["id"] for row in rows}
    locked = await connection.fetch(queries.LOCK, sorted(set(ids.values()))) if ids else []
    messages = {
        row["id"]: _Message(row["id"], row["recipient"], State(row["state"]), _members(row["group_recipients"]))
        for row in locked
    }
    return [messages.get(ids[place]) if place in ids else None for place in range(len(told))]


async def _outrunning(connection: Connection, unmatched: Sequence[Told]) -> set[int]:
    """Those, by identity, that came faster than our own record of what they are about."""
    asked = [one for one in unmatched if one.may_wait and one.kind != DSN and one.happened.recipient]
    if not asked:
        return set()
    recipients = [one.happened.recipient or "" for one in asked]
    rows = await connection.fetch(
        queries.OUTRUNS, [one.workspace_id for one in asked], [one.provider_id for one in asked],
        recipients, [recipient.lower() for recipient in recipients],
    )  # fmt: skip
    return {id(asked[row["n"] - 1]) for row in rows}


async def _insert(
    connection: Connection, pairs: Sequence[tuple[Told, _Message | None]]
) -> list[tuple[Told, _Message | None]]:
    """Those that were not told before."""
    ids = [uuid7() for _ in pairs]
    happened = [one.happened for one, _ in pairs]
    rows: list[asyncpg.Record] = await connection.fetch(
        queries.INSERT, ids, [one.workspace_id for one, _ in pairs], [one.provider_id for one, _ in pairs],
        [message and message.id for _, message in pairs], [clean(one.key) for one in happened],
        [one.type.value for one in happened], [_clean_or_none(one.recipient) for one in happened],
        [_clean_or_none(one.provider_message_id) for one in happened],
        [_clean_or_none(one.reason) for one in happened], [_json(one.details) for one in happened],
        [_json(one.raw) for one in happened], [one.at for one in happened], [one.received_at for one, _ in pairs],
    )  # fmt: skip
    new = {row["id"] for row in rows}
    return [pair for id_, pair in zip(ids, pairs, strict=True) if id_ in new]


def _report(one: Told, message: _Message) -> Report:
    member = message.members.get((one.happened.recipient or "").lower())
    return Report(
        message.id, one.workspace_id, one.provider_id, one.happened.type, _clean_or_none(one.happened.reason),
        one.received_at, in_doubt=message.state not in _SETTLED, hearsay=_is_hearsay(one, message), member=member,
    )  # fmt: skip


def _is_hearsay(one: Told, message: _Message) -> bool:
    """Whoever was mailed knows the Message-ID, and may write a bounce with it: of a mail to one that is nobody but
    the one it is about, of a group's mail each may name the others."""
    return one.kind == DSN and bool(message.members)


def _suppression(one: Told, message: _Message | None) -> Found | None:
    """Whom it is about, of those whom the message went to. Where the message is no longer kept, a service is believed
    whom it names; mail that says so is not."""
    reason = _SUPPRESSES.get(one.happened.type)
    if reason is None:
        return None
    recipient = one.happened.recipient
    if message is None:
        gone = one.kind != DSN and one.happened.message_uuid is not None
        address = recipient if gone else None
    elif _is_hearsay(one, message):
        address = None
    elif message.members:
        address = message.members.get((recipient or "").lower(), (None, ""))[0]
    else:
        address = message.recipient
    if address is None:
        return None
    return Found(one.workspace_id, address, reason, one.provider_name, message.id if message is not None else None)


def _members(group: dict[str, list[dict[str, Any]]] | None) -> dict[str, tuple[str, str]]:
    """One that is named twice counts where it is named first."""
    parts = [(role, mailbox["email"]) for role in ("bcc", "cc", "to") for mailbox in (group or {}).get(role, [])]
    return {address.lower(): (address, role) for role, address in parts}


def _uuid(text: str | None) -> uuid.UUID | None:
    try:
        return uuid.UUID(text) if text else None
    except ValueError:
        return None


def clean(text: str) -> str:
    """PostgreSQL takes neither NUL nor a lone surrogate."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:_REASON_MOST]


def _clean_or_none(text: str | None) -> str | None:
    return None if text is None else clean(text)


def _json(value: Any) -> str:
    try:
        written = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        written = orjson.dumps(_plain(value))
    return written.decode() if b"\\u0000" not in written else orjson.dumps(_plain(value)).decode()


def _plain(value: Any) -> Any:
    """The same with every text as PostgreSQL can store it."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(name)): _plain(item) for name, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [_plain(item) for item in value]
    return value if isinstance(value, int | float | bool | None) and abs(value or 0) < 2**53 else clean(str(value))
