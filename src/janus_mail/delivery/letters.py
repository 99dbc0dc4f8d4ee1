"""What events say, kept while their messages leave: read once per event, composed once per event and sender."""

import asyncio
import uuid
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, Self
from weakref import WeakValueDictionary

import asyncpg
from cachetools import LRUCache

from janus_mail.content.addresses import Mailbox
from janus_mail.content.compose import Content, Letter, message_id
from janus_mail.content.files import encoded_size
from janus_mail.content.variables import values_for
from janus_mail.delivery.files import FileNote, read_files
from janus_mail.delivery.hold import Hold
from janus_mail.delivery.queries import lease
from janus_mail.delivery.route import Wish
from janus_mail.delivery.weights import SMALL_BYTES, Weight
from janus_mail.providers.contract import Address, Attachment, Fields, Mail
from janus_mail.providers.outcomes import Outcome
from janus_mail.storage.database import Database

_CACHE_BYTES = 24 * 2**20

_Key = tuple[uuid.UUID, int]  # event, version


class Group(NamedTuple):
    """Everyone that one mail goes to (`send_as: group`)."""

    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()

    def without(self, addresses: Container[str]) -> Self:
        """Who is left. Where nobody is in `to`, those in `cc` are: a mail is to somebody. Blind copies alone are none,
        as whoever moved up would be shown to the others."""
        to, cc, bcc = (tuple(one for one in part if one.address not in addresses) for part in self)
        if not to:
            to, cc = cc, ()
        return type(self)(to, cc, bcc if to else ())


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class EventContent:
    """An event as its messages need it, in one version. The bytes of its `files` come when a mail is to be made."""

    id: uuid.UUID
    workspace_id: uuid.UUID
    version: int
    content: Content
    wish: Wish
    from_name: str | None
    group: Group | None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    files: tuple[FileNote, ...] = ()
    letters: dict[Mailbox, Letter] = field(default_factory=dict)  # by sender
    mails: int = 1

    @classmethod
    def of(cls, row: asyncpg.Record) -> "EventContent":
        group = row["group_recipients"]
        return cls(
            id=row["id"],
            workspace_id=row["workspace_id"],
            version=row["version"],
            content=Content(
                subject=row["subject"], text=row["text"], html=row["html"], reply_to=_mailboxes(row["reply_to"]),
                headers=tuple(row["headers"].items()),
            ),
            wish=Wish(provider_id=row["provider_id"], failover=row["failover"], from_email=row["from_email"]),
            from_name=row["from_name"],
            group=Group(*(_mailboxes(group.get(role, ())) for role in Group._fields)) if group else None,
            tags=tuple(row["tags"]),
            metadata=row["metadata"],
            files=tuple(map(FileNote.of, row["attachments"])),
            mails=1 if group else row["recipients_count"],
        )  # fmt: skip

    @property
    def size(self) -> int:
        """Bytes, roughly: as given, and once more composed."""
        return (
            2000 + 3 * self._characters + sum(len(f.content) + encoded_size(len(f.content)) for f in self.content.files)
        )

    @property
    def is_complete(self) -> bool:
        return len(self.content.files) == len(self.files)

    @property
    def is_big(self) -> bool:
        """Whether its mails are to be weighed."""
        return 2 * self._characters + sum(note.encoded for note in self.files) >= SMALL_BYTES

    def weight(self, copies: int) -> Weight:
        """Of one mail: its bytes so many times, and what all share: the files as they are and in base64."""
        encoded = sum(note.encoded for note in self.files)
        own, shared = copies * (2 * self._characters + encoded), encoded + sum(note.size for note in self.files)
        return Weight(self.workspace_id, (self.id, self.version), own, shared)

    @property
    def _characters(self) -> int:
        return len(self.content.text or "") + len(self.content.html or "")

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
        self._cache: LRUCache[_Key, EventContent] = LRUCache(_CACHE_BYTES, lambda c: c.size)
        # Those with their files, as long as a mail is under way that has them.
        self._complete: WeakValueDictionary[_Key, EventContent] = WeakValueDictionary()
        self._reading: WeakValueDictionary[_Key, asyncio.Lock] = WeakValueDictionary()

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
                self._keep(content)
        return found

    async def complete(self, event: EventContent) -> EventContent:
        """The event with the bytes of its files, read once for all mails that are under way. Raises LostFile."""
        if event.is_complete:
            return event
        key = (event.id, event.version)
        async with self._reading.setdefault(key, asyncio.Lock()):
            known = self._complete.get(key)
            if known is None:
                files = await read_files(self._database, event.workspace_id, event.files)
                known = replace(event, content=replace(event.content, files=files), letters={})
                self._complete[key] = known
                self._keep(known)
            return known

    def _keep(self, event: EventContent) -> None:
        if event.mails > 1 and event.size <= _CACHE_BYTES // 4:
            self._cache[event.id, event.version] = event


def outgoing(hold: Hold, event: EventContent, sender: Mailbox, provider_id: uuid.UUID) -> Outgoing:
    """One message as it goes through a provider with this sender. A group's mail goes to those that are unresolved."""
    header = hold.message_id_header or message_id(hold.id.hex, sender.domain)
    dated_at = hold.dated_at or hold.now().replace(microsecond=0)
    group, variables = _audience(hold, event)
    to, cc, bcc = group
    letter = event.letter(sender)
    composed = letter.compose(to=to, cc=cc, variables=variables, message_id=header, date=dated_at)
    everyone = dict.fromkeys(mailbox.address for mailbox in (*to, *cc, *bcc))
    key, used = _idempotency_key(hold, provider_id)
    mail = Mail(
        sender=sender.address, recipients=tuple(address for address in everyone if address not in hold.resolved),
        content=lambda: composed.content, size=composed.size, smtputf8=composed.smtputf8, message_id=header,
        idempotency_key=key, key_used=used, attempt_number=hold.attempt_count + 1,
        fields=lambda: _fields(hold, event, sender, composed.subject),
    )  # fmt: skip
    return Outgoing(mail, composed.subject, dated_at)


def _audience(hold: Hold, event: EventContent) -> tuple[Group, Mapping[str, str]]:
    """Whom the mail is to, and what fills its placeholders: to who is left of a group what they would be to all."""
    if event.group is None:
        return Group(to=(Mailbox(hold.recipient, hold.recipient_name),)), hold.variables
    group = named(event.group, hold)
    if group == event.group:
        return group, hold.variables
    to = event.group.to
    variables = values_for(to[0], hold.variables) if len(to) == 1 else hold.variables
    return group, variables


def named(group: Group, hold: Hold) -> Group:
    """Whom a group's mail names: not the suppressed ones, but for those who have it already. It stays the same mail."""
    return group.without(hold.suppressed.keys() - hold.resolved)


def _fields(hold: Hold, event: EventContent, sender: Mailbox, subject: str) -> Fields:
    group, variables = _audience(hold, event)
    texts = event.letter(sender).texts(to=group.to, variables=variables)
    to, cc, bcc, reply_to = (
        tuple(_address(mailbox) for mailbox in mailboxes) for mailboxes in (*group, event.content.reply_to)
    )
    return Fields(
        sender=_address(sender), subject=subject, text=texts.text, html=texts.html, to=to, cc=cc, bcc=bcc,
        reply_to=reply_to, headers=dict(event.content.headers), tags=event.tags, metadata=event.metadata,
        attachments=tuple(
            Attachment(f.filename, f.content_type, f.content, f.content_id if texts.html is not None else None)
            for f in event.content.files
        ),
        message_uuid=str(hold.id),
    )  # fmt: skip


def _idempotency_key(hold: Hold, provider_id: uuid.UUID) -> tuple[str, bool]:
    """Message, provider and generation, which rises only after a definite refusal: a resend has the same key. And
    whether a try of this generation may have left."""
    doubts = [t.outcome == Outcome.UNCERTAIN for t in hold.history if t.provider_id == provider_id]
    return f"{hold.id.hex}-{provider_id.hex}-{doubts.count(False)}", bool(doubts) and doubts[-1]


def _address(mailbox: Mailbox) -> Address:
    return Address(mailbox.address, mailbox.name)


def _mailboxes(entries: Sequence[dict[str, Any]]) -> tuple[Mailbox, ...]:
    return tuple(Mailbox(entry["email"], entry.get("name")) for entry in entries)
