"""An event's mail as one of its recipients sees it, built as the engine builds it."""

import uuid
from collections.abc import Sequence
from dataclasses import replace

from janus_mail.availability.provider_book import ConfiguredProvider
from janus_mail.content.addresses import Mailbox
from janus_mail.content.compose import message_id
from janus_mail.delivery.files import read_files
from janus_mail.delivery.letters import EventContent, Group
from janus_mail.delivery.queries import lease
from janus_mail.delivery.route import Wish, route
from janus_mail.errors import NotFound
from janus_mail.pages import queries
from janus_mail.pages.route import providers_of
from janus_mail.pages.visit import Visit

NO_SENDER = Mailbox("no-sender-yet@example.invalid")


async def mail_of(visit: Visit, event_id: uuid.UUID, message: uuid.UUID | None, view: str) -> bytes:
    """The mail of this message, else of the event's first, with those of its files that the view shows.

    Raises NotFound, LostFile.
    """
    pool = visit.context.database.pool
    row = await pool.fetchrow(queries.MAIL, visit.caller.workspace_id, event_id, message)
    if row is None:
        raise NotFound("There is no such message.")
    event = EventContent.of((await pool.fetch(lease.CONTENT, [event_id]))[0])
    shown = [note for note in event.files if view == "source" or (view == "html" and note.content_id is not None)]
    if shown:
        files = await read_files(visit.context.database, event.workspace_id, shown)
        event = replace(event, content=replace(event.content, files=files))
    sender = sender_among(await providers_of(visit), event.wish, event.from_name) or NO_SENDER
    to, cc, _ = event.group or Group(to=(Mailbox(row["recipient"], row["recipient_name"]),))
    composed = event.letter(sender).compose(
        to=to, cc=cc, variables=row["variables"],
        message_id=row["message_id_header"] or message_id(row["id"].hex, sender.domain),
        date=row["dated_at"] or max(row["due_at"], visit.clock.now),
    )  # fmt: skip
    return composed.content


def sender_among(providers: Sequence[ConfiguredProvider], wish: Wish, from_name: str | None) -> Mailbox | None:
    """Who mail with this wish comes from: the event's sender, else its first provider's; null while there is none."""
    first = next(iter(route(wish, providers).order), None)
    address = wish.from_email or (first.from_email if first else None)
    if address is None:
        return None
    return Mailbox(address, from_name if wish.from_email or from_name else first.from_name if first else None)
