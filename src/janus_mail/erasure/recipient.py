"""Erasing a recipient: a pseudonym stands wherever a workspace had their address, and what was for them alone is gone.

A few hundred rows in a transaction, so that nothing is held for long. Who is cut off has erased some of it, and asks
again for the rest, which then gets a pseudonym of its own. The address itself is never noted.
"""

import uuid
from dataclasses import replace
from typing import Final, Literal, NamedTuple

from janus_mail.accounts.callers import Caller
from janus_mail.audit.actors import Other
from janus_mail.audit.record import Actor, record
from janus_mail.content.addresses import InvalidAddress, parse_mailbox
from janus_mail.delivery import control
from janus_mail.delivery.rollup import roll_up
from janus_mail.erasure import queries
from janus_mail.erasure.everywhere import erase_everywhere
from janus_mail.erasure.schemas import Erased, ErasureRequest
from janus_mail.erasure.words import ERASED, Eraser, new_pseudonym
from janus_mail.errors import Conflict, Detail, InvalidInput
from janus_mail.models.states import SendAs, SuppressionReason
from janus_mail.storage.database import Connection, Database
from janus_mail.storage.list_cache import ListCache
from janus_mail.suppressions.add import Found, suppress

_AT_ONCE: Final = 500
_TIMEOUT_S: Final = 600  # letters of any case have no index
_RETRY_AFTER_S: Final = 60


async def erase_recipient(
    database: Database, list_cache: ListCache, actor: Actor, workspace_id: uuid.UUID, wanted: ErasureRequest
) -> Erased:
    """What waits for them is canceled first; of a mail to several they are taken out, and it goes to the others.

    Raises `InvalidInput` (`invalid_email`), and `Conflict` (`mail_in_flight`) while a mail to them is leaving: what
    waited stays canceled.
    """
    try:
        address = parse_mailbox(wanted.email).address
    except InvalidAddress as error:
        sentence = f"Invalid emails: {error.text}"
        raise InvalidInput(sentence, code="invalid_email", details=[Detail("email", error.reason)]) from None
    work = _Erasure(database, workspace_id, actor, Eraser(address, new_pseudonym()))
    try:
        canceled = await work.stop_mail()
    finally:
        await roll_up(database, list_cache, event_ids=list(work.stopped))
    try:
        counts = await work.erase()
        suppression = await work.see_to_suppression(remove=wanted.unsuppress)
        await work.note(canceled, counts, suppression)
    finally:
        await list_cache.renew(workspace_id)
    before = f"; {_messages(canceled)} canceled before" if canceled else ""
    return Erased(
        message=f"Erased{before}.", pseudonym=work.eraser.pseudonym, canceled=canceled, suppression=suppression,
        counts=counts,
    )  # fmt: skip


class _Stopped(NamedTuple):
    canceled: int
    last: uuid.UUID  # message that was looked at


class _Erasure:
    """One of them, step by step; each may run again."""

    def __init__(self, database: Database, workspace_id: uuid.UUID, actor: Actor, eraser: Eraser) -> None:
        self._database, self._workspace_id, self._actor, self.eraser = database, workspace_id, actor, eraser
        self.stopped: set[uuid.UUID] = set()  # events

    async def stop_mail(self) -> int:
        """How many messages were canceled. Raises `Conflict` (`mail_in_flight`)."""
        canceled, after = 0, uuid.UUID(int=0)
        while (step := await self._stop_some(after)) is not None:
            canceled, after = canceled + step.canceled, step.last
        pool = self._database.pool
        leaving = await pool.fetchval(
            queries.IN_FLIGHT, self._workspace_id, self.eraser.address, timeout=_TIMEOUT_S
        )  # fmt: skip
        if leaving:
            many = "1 message to them is" if leaving == 1 else f"{leaving:,} messages to them are"
            raise Conflict(
                f"{many} leaving, or may have left: ask again when that is settled.", code="mail_in_flight",
                retry_after_s=_RETRY_AFTER_S,
            )  # fmt: skip
        return canceled

    async def _stop_some(self, after: uuid.UUID) -> _Stopped | None:
        """Null when nothing waits behind `after`."""
        async with self._database.transaction() as connection:
            rows = await connection.fetch(
                queries.WAITING, self._workspace_id, self.eraser.address, after, _AT_ONCE, timeout=_TIMEOUT_S
            )
            if not rows:
                return None
            alone = [row["id"] for row in rows if row["send_as"] != SendAs.GROUP]
            groups = [row for row in rows if row["send_as"] == SendAs.GROUP]
            canceled = await control.cancel_messages(connection, self._workspace_id, alone)
            if groups:
                await self._leave_groups(connection, groups_of=[row["event_id"] for row in groups])
                await control.take_back(connection, self._workspace_id, [row["id"] for row in groups])
            if canceled:
                await record(
                    connection, self._actor, "recipient.mail_canceled", "recipient", workspace_id=self._workspace_id,
                    name=self.eraser.pseudonym, after={"messages": canceled},
                )  # fmt: skip
        self.stopped |= {row["event_id"] for row in rows}
        return _Stopped(canceled, rows[-1]["id"])

    async def _leave_groups(self, connection: Connection, *, groups_of: list[uuid.UUID]) -> None:
        """The mail goes to the others: a pseudonym on the suppressions is left out of it."""
        await self._suppress_pseudonym(connection)
        for row in await connection.fetch(queries.GROUPS, self._workspace_id, groups_of):
            group, first = self.eraser.value(row["group_recipients"]), self.eraser.value(row["first_recipients"])
            await connection.execute(queries.SET_GROUP, self._workspace_id, row["id"], group, first)
        await connection.execute(
            queries.ERASE_MESSAGES_OF, self._workspace_id, self.eraser.address, self.eraser.pseudonym, groups_of
        )

    async def erase(self) -> dict[str, int]:
        """How many rows of each table were changed or removed."""
        counts = {"events": await self._erase_content()}
        address = self.eraser.address
        counts["feedback_events"] = await self._repeat(queries.ERASE_FEEDBACK, address)
        counts["captured_mails"] = await self._repeat(queries.REMOVE_CAPTURED, address)
        counts["messages"] = await self._repeat(queries.ERASE_MESSAGES, address, self.eraser.pseudonym)
        if counts["messages"]:  # tried again, it would go nowhere
            async with self._database.transaction() as connection:
                await self._suppress_pseudonym(connection)
        await self._database.pool.execute(queries.REMOVE_DOUBLES, self._workspace_id, address, timeout=_TIMEOUT_S)
        counts["hook_posts"] = await self._erase_hook_posts()
        for table, many in (await erase_everywhere(self._database, self._workspace_id, self.eraser)).items():
            counts[table] = max(counts.get(table, 0), many)
        return {table: many for table, many in counts.items() if many}

    async def see_to_suppression(self, *, remove: bool) -> Literal["none", "kept", "removed"]:
        pool, address = self._database.pool, self.eraser.address
        if not await pool.fetchval(queries.IS_SUPPRESSED, self._workspace_id, address):
            return "none"
        if not remove:
            return "kept"
        await pool.execute(queries.UNSUPPRESS, self._workspace_id, address)
        return "removed"

    async def note(self, canceled: int, counts: dict[str, int], suppression: str) -> None:
        """Never the address, not even where somebody erased their own."""
        actor = self._actor
        label = self.eraser.text(actor.label)
        if isinstance(actor, Caller | Other):
            actor = replace(actor, label=label)
        async with self._database.transaction() as connection:
            await record(
                connection, actor, "recipient.erased", "recipient", workspace_id=self._workspace_id,
                name=self.eraser.pseudonym,
                after={"canceled": canceled, "suppression": suppression, "rows": counts},
            )  # fmt: skip

    async def _erase_content(self) -> int:
        erased, after = 0, uuid.UUID(int=0)
        while True:
            async with self._database.transaction() as connection:
                rows = await connection.fetch(
                    queries.THEIR_EVENTS, self._workspace_id, self.eraser.address, after, _AT_ONCE, timeout=_TIMEOUT_S
                )
                if not rows:
                    return erased
                ids = [row["event_id"] for row in rows]
                erased += await connection.fetchval(queries.ERASE_CONTENT, self._workspace_id, ids, ERASED)
            after = ids[-1]

    async def _erase_hook_posts(self) -> int:
        erased, after = 0, uuid.UUID(int=0)
        while True:
            async with self._database.transaction() as connection:
                rows = await connection.fetch(queries.HOOK_POSTS, self._workspace_id, after, _AT_ONCE)
                if not rows:
                    return erased
                for row in rows:
                    body = self.eraser.octets(row["body"])
                    if body != row["body"]:
                        await connection.execute(queries.SET_HOOK_POST, self._workspace_id, row["id"], body)
                        erased += 1
            after = rows[-1]["id"]

    async def _repeat(self, statement: str, *values: str) -> int:
        """Until it finds no more."""
        total = 0
        while many := await self._database.pool.fetchval(
            statement, self._workspace_id, *values, _AT_ONCE, timeout=_TIMEOUT_S
        ):
            total += many
        return total

    async def _suppress_pseudonym(self, connection: Connection) -> None:
        found = Found(self._workspace_id, self.eraser.pseudonym, SuppressionReason.MANUAL, ERASED)
        await suppress(connection, [found])


def _messages(many: int) -> str:
    return "1 message" if many == 1 else f"{many:,} messages"
