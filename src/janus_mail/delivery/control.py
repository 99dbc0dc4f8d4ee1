"""What callers and people may ask of messages that were accepted: cancel, change, send now, retry, settle, pause.

Each works in its caller's transaction, locks in id order, raises fences so that no worker sends the old form, and marks
the event for the roll-up. A group that some recipients have has begun, though it waits for the others: it ends as sent
and as nothing else.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Literal

from janus_mail.delivery.queries import requests
from janus_mail.models.states import State
from janus_mail.storage.database import Connection, Database

AT_ONCE = 5_000
_PATIENCE_TIMEOUT_S = 600


class Unset(Enum):
    """Says «leave it as it is» where null means «none»."""

    UNSET = "unset"


UNSET = Unset.UNSET


class TooLate(Exception):
    """`count` of the event's messages are leaving, may have left or have; none: all of them ended without."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} already begun")
        self.count = count


@dataclass(frozen=True, slots=True)
class Canceled:
    """How many will not leave, and how many could not be called back."""

    canceled: int
    too_late: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many of a workspace's messages wait, how many of these are due, and how many are leaving or uncertain."""

    waiting: int
    due: int
    sending: int
    uncertain: int


async def cancel(connection: Connection, workspace_id: uuid.UUID, event_id: uuid.UUID) -> Canceled:
    """Cancels what has not begun to leave."""
    return await cancel_events(connection, workspace_id, [event_id])


async def cancel_events(connection: Connection, workspace_id: uuid.UUID, event_ids: Sequence[uuid.UUID]) -> Canceled:
    """The same for several events; how many of them is for the caller to bound."""
    canceled: int = await connection.fetchval(requests.CANCEL, workspace_id, event_ids)
    rest = await would_cancel(connection, workspace_id, event_ids)
    return Canceled(canceled, rest.too_late)


async def cancel_messages(connection: Connection, workspace_id: uuid.UUID, message_ids: Sequence[uuid.UUID]) -> int:
    """What waits of these, and nothing else of their events; how many that were."""
    canceled: int = await connection.fetchval(requests.CANCEL_MESSAGES, workspace_id, message_ids)
    return canceled


async def take_back(connection: Connection, workspace_id: uuid.UUID, message_ids: Sequence[uuid.UUID]) -> int:
    """What workers hold of these and has not begun is scheduled again, so that they read anew whom it goes to."""
    many: int = await connection.fetchval(requests.TAKE_BACK_THESE, workspace_id, message_ids)
    return many


async def would_cancel(connection: Connection, workspace_id: uuid.UUID, event_ids: Sequence[uuid.UUID]) -> Canceled:
    """What `cancel_events` would answer at this moment; changes nothing."""
    row = await connection.fetchrow(requests.CANCELABLE, workspace_id, event_ids)
    assert row is not None  # noqa: S101  (it counts)
    return Canceled(row["canceled"], row["too_late"])


async def change(
    connection: Connection,
    workspace_id: uuid.UUID,
    event_id: uuid.UUID,
    *,
    due_at: datetime | None = None,
    priority: int | None = None,
    expires_at: datetime | Unset | None = UNSET,
) -> None:
    """Takes every message back from the workers that hold it, so that its event may change. Raises `TooLate`."""
    row = await connection.fetchrow(requests.LOCK_MESSAGES, workspace_id, event_id)
    if row is None or row["begun"] or not row["open"]:
        raise TooLate(row["begun"] if row else 0)
    sets_expiry = not isinstance(expires_at, Unset)
    await connection.fetchval(
        requests.CHANGE, workspace_id, event_id, due_at, priority, sets_expiry, expires_at if sets_expiry else None
    )


async def send_now(connection: Connection, workspace_id: uuid.UUID, event_id: uuid.UUID) -> int:
    """Makes what waits due at once; how many that were."""
    many: int = await connection.fetchval(requests.SEND_NOW, workspace_id, event_id)
    return many


async def retry(
    connection: Connection, workspace_id: uuid.UUID, event_id: uuid.UUID, *, give_up_s: float = 86_400
) -> int:
    """Takes up what failed, is parked or was suppressed once more; how many that were."""
    many: int = await connection.fetchval(requests.RETRY, workspace_id, event_id, give_up_s)
    return many


async def resolve(
    connection: Connection,
    workspace_id: uuid.UUID,
    message_id: uuid.UUID,
    outcome: Literal["sent", "resend", "failed"],
    *,
    give_up_s: float = 86_400,
) -> uuid.UUID | None:
    """A person's word on a parked message. Answers its event, or null when the message is not parked."""
    state = State.SCHEDULED if outcome == "resend" else State(outcome)
    event_id: uuid.UUID | None = await connection.fetchval(requests.SETTLE, workspace_id, message_id, state, give_up_s)
    return event_id


async def try_waiting_now(connection: Connection, workspace_id: uuid.UUID) -> int:
    """A provider takes mail again: what waited for one is due at once; how many that were.

    No more than `AT_ONCE`, so that changing a provider stays quick; `try_all_waiting_now` sees to the rest.
    """
    many: int = await connection.fetchval(requests.TRY_WAITING_NOW, workspace_id, AT_ONCE)
    return many


async def try_all_waiting_now(database: Database, workspace_id: uuid.UUID) -> int:
    """The same for all that waits, a transaction for each so many."""
    woken = 0
    while True:
        async with database.transaction() as connection:
            many = await try_waiting_now(connection, workspace_id)
        woken += many
        if many < AT_ONCE:
            return woken


async def pause(connection: Connection, workspace_id: uuid.UUID) -> int:
    """Nothing of the workspace is claimed any more; what is held but has not begun is taken back: how many that were.

    A claim under way at the commit may not have seen the pause: calling this once more after the commit takes back what
    it took.
    """
    await connection.execute(requests.PAUSE, workspace_id)
    many: int = await connection.fetchval(requests.TAKE_BACK, workspace_id)
    return many


async def resume(connection: Connection, workspace_id: uuid.UUID, *, give_up_s: float = 86_400) -> int:
    """The workspace's messages are claimed again; how many are due now. Where it is not paused nothing changes."""
    if await connection.execute(requests.RESUME, workspace_id) != "UPDATE 0":
        # Nobody else waits for these rows, and a million of them must not make resuming impossible.
        await connection.execute(requests.RENEW_PATIENCE, workspace_id, give_up_s, timeout=_PATIENCE_TIMEOUT_S)
    return (await waiting(connection, workspace_id)).due


async def waiting(connection: Connection, workspace_id: uuid.UUID) -> Waiting:
    """How the workspace's messages stand now."""
    row = await connection.fetchrow(requests.WAITING, workspace_id)
    assert row is not None  # noqa: S101  (it counts)
    return Waiting(row["waiting"] + row["held"], row["due"] + row["held"], row["sending"], row["uncertain"])
