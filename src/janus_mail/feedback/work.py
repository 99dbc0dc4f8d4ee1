"""What works on the posts: a task in every worker process, woken when something is posted and by itself now and then.

A post goes in the same transaction as what it leads to, so a crash leaves both or neither. It is counted as tried and
put off before that begins. One that cannot be worked on is tried again with growing pauses for a day, and then kept
among the feedback events as it came; it holds up no other.
"""

import asyncio
import logging
import random
import uuid
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import asyncpg

from janus_mail.delivery import evidence
from janus_mail.delivery.crash_points import reached
from janus_mail.feedback import queries, sns
from janus_mail.feedback.apply import Told, apply, clean
from janus_mail.feedback.confirm import NotConfirmed, confirm
from janus_mail.feedback.reader import Happened, Post, Reader, Unreadable
from janus_mail.feedback.readers import READERS
from janus_mail.models.states import FeedbackType, State
from janus_mail.storage.coalesce import COLLISION
from janus_mail.storage.database import CONNECTION_LOST, Connection, Database, connection_lost
from janus_mail.telemetry.boot_clock import boot_clock_s

MOST_POSTS: Final = 50  # worked on in one transaction
MOST_OCTETS: Final = 256 * 1024  # of them together, unless the first alone has more: mail is being sent meanwhile
ALONE_FROM: Final = 3  # tries: then it is worked on by itself
PATIENCE_S: Final = 24 * 3600.0  # with a post that cannot be read
_OUTRUN_S: Final = 600.0  # for a mail whose provider has not told us its id yet
_FIRST_PAUSE_S: Final = 10.0
_LONGEST_PAUSE_S: Final = 4 * 3600.0
_LARGE_OCTETS: Final = 128 * 1024  # read in a thread: mail is being sent meanwhile
_KEPT_MOST: Final = 64 * 1024  # characters of a post that could not be read
_CONFIRM_S: Final = 30.0  # nobody else takes the post while it is fetched
_LONGEST_REST_S: Final = 0.2

_log = logging.getLogger(__name__)


class _Later(NamedTuple):
    post_id: uuid.UUID
    wait_s: float
    why: str


class FeedbackWork:
    """One per worker process. `on_mail_due` is called when something became due to be sent by it."""

    def __init__(
        self,
        database: Database,
        *,
        tick_s: float,
        on_mail_due: Callable[[], None] = lambda: None,
        fetch: sns.Load = sns.fetch,
    ) -> None:
        self._database = database
        self._fetch = fetch
        self._tick_s = tick_s
        self._on_mail_due = on_mail_due
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Lasts until it is cancelled. Never raises because of the database."""
        while True:
            self._woken.clear()
            try:
                while await self._work_and_rest():
                    pass
            except CONNECTION_LOST as error:
                if not connection_lost(error):
                    raise
                _log.debug("feedback: the database is away (%s)", type(error).__name__)
            try:
                await asyncio.wait_for(self._woken.wait(), self._tick_s)
            except TimeoutError:
                pass  # somebody may have posted without our being told

    async def _work_and_rest(self) -> int:
        """Half of the time at most: sending, and storing what is posted, goes before it."""
        began_s = boot_clock_s()
        many = await self.work()
        if many:
            await asyncio.sleep(min(boot_clock_s() - began_s, _LONGEST_REST_S))
        return many

    async def work(self) -> int:
        """Work on the first posts that are due and that nobody else has; how many they were."""
        taken = await self._database.pool.fetch(
            queries.TAKE, MOST_POSTS, MOST_OCTETS, ALONE_FROM, _FIRST_PAUSE_S, _LONGEST_PAUSE_S
        )
        if taken:
            await self._work([row["id"] for row in taken])
        return len(taken)

    async def _work(self, post_ids: Sequence[uuid.UUID]) -> None:
        rows: Sequence[asyncpg.Record] = ()
        try:
            async with self._database.transaction() as connection:
                await connection.execute(queries.WAIT_BRIEFLY)
                rows = await connection.fetch(queries.TAKE_THESE, post_ids)
                if not rows:
                    return
                reached("in_feedback")
                proven, confirmations = await _work_on(connection, rows)
        except COLLISION:
            await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311
            await self._work(post_ids)
        except asyncpg.LockNotAvailableError as error:
            _log.info("%d posts wait for what another has locked", len(post_ids))
            await self._note(post_ids, str(error))
        except Exception as error:
            # A statement that takes too long says so with the same error as a database that is away.
            slow = isinstance(error, TimeoutError) and len(rows) > 0
            if not slow and isinstance(error, CONNECTION_LOST) and connection_lost(error):
                raise
            await self._halve(rows, error)
        else:
            evidence.count(proven)
            if any(one.state is State.SCHEDULED for one in proven):
                self._on_mail_due()
            for post_id, addresses in confirmations:
                await self._confirm(post_id, addresses)

    async def _halve(self, rows: Sequence[asyncpg.Record], error: Exception) -> None:
        """One post that PostgreSQL does not take must not keep the others."""
        if len(rows) > 1:
            middle = len(rows) // 2
            for half in (rows[:middle], rows[middle:]):
                await self._work([row["id"] for row in half])
        elif rows:
            _log.error("a post cannot be worked on and is kept: %s", rows[0]["id"], exc_info=error)
            await self._set_aside(rows[0], f"{type(error).__name__}: {error}")

    async def _set_aside(self, row: asyncpg.Record, why: str) -> None:
        try:
            async with self._database.transaction() as connection:
                if await connection.fetch(queries.TAKE_THESE, [row["id"]]):
                    await _give_up_or_put_off(connection, [(row, why)])
        except asyncpg.PostgresError:  # not even as what it is not understood to be
            if row["age_s"] < PATIENCE_S:
                raise
            async with self._database.transaction() as connection:
                await _put_off(connection, [_Later(row["id"], _LONGEST_PAUSE_S, why)])

    async def _note(self, post_ids: Sequence[uuid.UUID], why: str) -> None:
        """They have been put off already."""
        await self._database.pool.execute(queries.NOTE, list(post_ids), clean(why))

    async def _confirm(self, post_id: uuid.UUID, addresses: Sequence[str]) -> None:
        """The service tells nothing more until these have been fetched. The post stays until they are."""
        try:
            for address in addresses:
                await confirm(address, self._fetch)
        except NotConfirmed as error:
            _log.warning("a subscription could not be confirmed, trying again: %s", error)
            return
        await self._database.pool.execute(queries.DONE, [post_id])
        _log.info("a service's subscription to a hook is confirmed")


async def _work_on(
    connection: Connection, rows: Sequence[asyncpg.Record]
) -> tuple[list[evidence.Proven], list[tuple[uuid.UUID, list[str]]]]:
    told: list[Told] = []
    unread: list[tuple[asyncpg.Record, str]] = []
    confirmations: list[tuple[uuid.UUID, list[str]]] = []
    for row in rows:
        if row["provider_name"] is None:
            continue  # its workspace is gone
        try:
            happened, addresses = await _read(row)
        except Exception as error:  # a fault of ours is no reason to lose it
            if not isinstance(error, Unreadable):
                _log.exception("a post of %s could not be read", row["kind"])
            unread.append((row, f"{type(error).__name__}: {error}"))
            continue
        if addresses and row["age_s"] >= PATIENCE_S:
            unread.append((row, "the subscription could not be confirmed"))
        elif addresses:
            confirmations.append((row["id"], addresses))
        told += [_told(row, one) for one in happened]
    applied = await apply(connection, told)
    later = [_Later(row["id"], _pause_s(row["tries"]), "outran our own record") for row in rows
             if row["id"] in applied.waiting]  # fmt: skip
    tries = {row["id"]: row["tries"] for row in rows}
    later += [_Later(id_, max(_pause_s(tries[id_]), _CONFIRM_S), "to be confirmed") for id_, _ in confirmations]
    await _put_off(connection, later)
    await _give_up_or_put_off(connection, unread)
    kept = {one.post_id for one in later} | {row["id"] for row, _ in unread}
    await connection.execute(queries.DONE, [row["id"] for row in rows if row["id"] not in kept])
    return applied.proven, confirmations


async def _read(row: asyncpg.Record) -> tuple[list[Happened], list[str]]:
    reader: Reader = READERS[row["kind"]]
    post = Post(row["headers"], row["body"], "", row["received_at"])
    if len(post.body) > _LARGE_OCTETS:
        happened = await asyncio.to_thread(reader.read, post)
    else:
        happened = reader.read(post)
        await asyncio.sleep(0)  # who sends mail meanwhile goes first
    return happened, reader.confirmations(post)


def _told(row: asyncpg.Record, happened: Happened) -> Told:
    return Told(
        row["id"], row["workspace_id"], row["provider_id"], row["provider_name"], row["kind"], row["received_at"],
        may_wait=row["age_s"] < _OUTRUN_S, happened=happened,
    )  # fmt: skip


async def _give_up_or_put_off(connection: Connection, unread: Sequence[tuple[asyncpg.Record, str]]) -> None:
    """After a day it is kept as an event of unknown type, and said in the log."""
    over = [(row, why) for row, why in unread if row["age_s"] >= PATIENCE_S]
    for row, why in over:
        _log.error("a post of %s to provider %s was never understood: %s", row["kind"], row["provider_id"], why)
    await apply(connection, [_told(row, _unread(row, why)) for row, why in over])
    await connection.execute(queries.DONE, [row["id"] for row, _ in over])
    await _put_off(connection, [_Later(row["id"], _pause_s(row["tries"]), why) for row, why in unread
                                if row["age_s"] < PATIENCE_S])  # fmt: skip


async def _put_off(connection: Connection, later: Sequence[_Later]) -> None:
    if later:
        await connection.execute(
            queries.PUT_OFF, [one.post_id for one in later], [one.wait_s for one in later],
            [clean(one.why) for one in later],
        )  # fmt: skip


def _unread(row: asyncpg.Record, why: str) -> Happened:
    raw = {"headers": row["headers"], "body": row["body"].decode("utf-8", "replace")[:_KEPT_MOST]}
    return Happened(key=f"unread/{row['id']}", type=FeedbackType.UNKNOWN, at=row["received_at"], reason=why, raw=raw)


def _pause_s(tries: int) -> float:
    """After so many; as TAKE has it."""
    return min(_FIRST_PAUSE_S * 2.0 ** min(max(tries - 1, 0), 20), _LONGEST_PAUSE_S)
