"""What events say, kept while their messages leave: read once per event, composed once per event and sender."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg
from cachetools import LRUCache

from janus_mail.content.addresses import Mailbox
from janus_mail.content.compose import Content, Letter, message_id
from janus_mail.delivery.hold import Hold
from janus_mail.delivery.queries import lease
from janus_mail.delivery.route import Wish
from janus_mail.providers.contract import Address, Fields, Mail
from janus_mail.providers.outcomes import Outcome
from janus_mail.storage.database import Database

_CACHE_BYTES = 24 * 2**20


class Group(NamedTuple):
    """Everyone that one mail goes to (`send_as: group`)."""

    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class EventContent:
    """An event as its messages need it, in one version."""

    id: uuid.UUID
    content: Content
    wish: Wish
    from_name: str | None
    group: Group | None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    letters: dict[Mailbox, Letter] = field(default_factory=dict)  # by sender
    mails: int = 1

    @classmethod
    def of(cls, row: asyncpg.Record) -> "EventContent":
        group = row["group_recipients"]
        return cls(
            id=row["id"],
            content=Content(
                subject=row["subject"], text=row["text"], html=row["html"], reply_to=_mailboxes(row["reply_to"]),
                headers=tuple(row["headers"].items()),
            ),
            wish=Wish(provider_id=row["provider_id"], failover=row["failover"], from_email=row["from_email"]),
            from_name=row["from_name"],
            group=Group(*(_mailboxes(group.get(role, ())) for role in Group._fields)) if group else None,
            tags=tuple(row["tags"]),
            metadata=row["metadata"],
            mails=1 if group else row["recipients_count"],
        )  # fmt: skip

    @property
    def size(self) -> int:
        """Bytes, roughly: as given, and once more composed."""
        return 2000 + 3 * (len(self.content.text or "") + len(self.content.html or ""))

    def letter(self, sender: Mailbox) -> Letter:
        if sender not in self.letters:
            self.letters[sender] = Letter(self.content, sender, boundary_seed=self.id.hex)
        return self.letters[sender]


class Outgoing(NamedTuple):
    """A mail for one provider, and what a resend of it must repeat or a mailbox shows."""

    mail: Mail
    subject: str
    dated_at: datetime


class Letters:
    """One per worker process; bounded in bytes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cache: LRUCache[tuple[uuid.UUID, int], EventContent] = LRUCache(_CACHE_BYTES, lambda c: c.size)

    async def of(self, holds: Iterable[Hold]) -> dict[uuid.UUID, EventContent]:
        """The contents that these messages need, by event. An event that was changed meanwhile comes in its new
        version, which does no harm: the change took the lease away, so that its begin fails."""
        found: dict[uuid.UUID, EventContent] = {}
        missing = set()
        for hold in holds:
            known = self._cache.get((hold.event_id, hold.event_version))
            if known is None:
                missing.add(hold.event_id)
            else:
                found[hold.event_id] = known
        if missing:
            for row in await self._database.pool.fetch(lease.CONTENT, list(missing)):
                content = found[row["id"]] = EventContent.of(row)
                if content.mails > 1 and content.size <= _CACHE_BYTES // 4:
                    self._cache[row["id"], row["version"]] = content
        return found


def outgoing(hold: Hold, event: EventContent, sender: Mailbox, provider_id: uuid.UUID) -> Outgoing:
    """One message as it goes through a provider with this sender. A group's mail goes to those that are unresolved."""
    header = hold.message_id_header or message_id(hold.id.hex, sender.domain)
    dated_at = hold.dated_at or hold.now().replace(microsecond=0)
    to, cc, bcc = group = event.group or Group(to=(Mailbox(hold.recipient, hold.recipient_name),))
    letter = event.letter(sender)
    composed = letter.compose(to=to, cc=cc, variables=hold.variables, message_id=header, date=dated_at)
    everyone = dict.fromkeys(mailbox.address for mailbox in (*to, *cc, *bcc))
    mail = Mail(
        sender=sender.address, recipients=tuple(address for address in everyone if address not in hold.resolved),
        content=composed.content, smtputf8=composed.smtputf8, message_id=header,
        idempotency_key=_idempotency_key(hold, provider_id), attempt_number=hold.attempt_count + 1,
        fields=lambda: _fields(hold, event, sender, group, composed.subject),
    )  # fmt: skip
    return Outgoing(mail, composed.subject, dated_at)


def _fields(hold: Hold, event: EventContent, sender: Mailbox, group: Group, subject: str) -> Fields:
    texts = event.letter(sender).texts(to=group.to, variables=hold.variables)
    to, cc, bcc, reply_to = (
        tuple(_address(mailbox) for mailbox in mailboxes) for mailboxes in (*group, event.content.reply_to)
    )
    return Fields(
        sender=_address(sender), subject=subject, text=texts.text, html=texts.html, to=to, cc=cc, bcc=bcc,
        reply_to=reply_to, headers=dict(event.content.headers), tags=event.tags, metadata=event.metadata,
        message_uuid=str(hold.id),
    )  # fmt: skip


def _idempotency_key(hold: Hold, provider_id: uuid.UUID) -> str:
    """Message, provider and generation, which rises only after a definite refusal: a resend has the same key."""
    generation = sum(t.provider_id == provider_id and t.outcome != Outcome.UNCERTAIN for t in hold.history)
    return f"{hold.id.hex}-{provider_id.hex}-{generation}"


def _address(mailbox: Mailbox) -> Address:
    return Address(mailbox.address, mailbox.name)


def _mailboxes(entries: Sequence[dict[str, Any]]) -> tuple[Mailbox, ...]:
    return tuple(Mailbox(entry["email"], entry.get("name")) for entry in entries)
