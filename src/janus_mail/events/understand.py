"""What an event means: times become instants, text becomes addresses, defaults are filled in. Pure."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from uuid_utils.compat import uuid7

from janus_mail.content.addresses import InvalidAddress, Mailbox, parse_mailbox
from janus_mail.content.inline_images import shown_in
from janus_mail.delivery.route import named
from janus_mail.errors import Detail, InvalidInput
from janus_mail.events.instants import (
    Instant,
    InvalidInstant,
    UnknownZone,
    read_instant,
    rfc3339,
    years_after,
    zone_named,
)
from janus_mail.events.limits import Stop, asked_of, check_limits
from janus_mail.events.recipients import Audience, as_columns, check_placeholders, read_audience, read_mailboxes
from janus_mail.events.rows import EventRow, NewEvent, NewFile, NewMessage
from janus_mail.events.schemas import EventCreate
from janus_mail.models.states import EventStatus, Priority, State
from janus_mail.workspaces.senders import check_sender

MAX_YEARS_AHEAD = 5
_FIRST_RECIPIENTS = 20
_MOST_NAMED = 5
_LONGEST_NAMED = 80

# Looking a member up takes as long as all else that is done with it here.
_PRIORITIES = {priority.name.lower(): priority for priority in Priority}
_PENDING = EventStatus.PENDING
_SCHEDULED = State.SCHEDULED.value


@dataclass(frozen=True, slots=True)
class KnownProvider:
    """What accepting needs to know of one of the workspace's providers."""

    id: uuid.UUID
    kind: str
    name: str
    enabled: bool
    sandbox: bool
    from_email: str | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What stands in the database and bears on what is accepted. `now` is the database's clock."""

    now: datetime
    zone: ZoneInfo  # of the workspace, else the server's
    from_email: str | None
    allowed_senders: Sequence[str] | None
    on_uncertain: str
    providers: Sequence[KnownProvider]  # in the order of the route
    suppresses: bool = False  # whether the workspace has a list of addresses that must not be mailed
    minute_quota: int = 0  # mails it may schedule in a minute; 0: any number
    monthly_quota: int = 0


def understand(
    event: EventCreate, facts: Facts, *, workspace_id: uuid.UUID, created_by: str, files: Sequence[NewFile] = ()
) -> NewEvent:
    """The rows that this event makes; `files` are its attachments, decoded.

    Raises InvalidInput with one of the codes that the functions below name.
    """
    zone = read_zone(event.timezone, facts)
    at = read_time(event.expected_sent_at, zone, facts.now)
    expires = read_expiry(event.expires_at, zone, facts.now, at.at)
    audience = read_audience(event)
    messages = _messages(event, audience)
    check_placeholders(
        ((Mailbox(m.recipient, m.recipient_name), m.variables) for m in messages),
        subject=event.email_subject, text=event.email_content, html=event.email_html,
        to_several=event.send_as == "group" and len(audience.to) > 1,
    )  # fmt: skip
    sender = read_sender(event.from_email, event.from_name, facts)
    chosen = _chosen_provider(event.provider, facts)
    _require_sender(sender, chosen, facts, failover=event.failover)
    row = EventRow(
        id=uuid7(), workspace_id=workspace_id, created_by=created_by, created_at=facts.now, updated_at=facts.now,
        subject=event.email_subject, text=event.email_content, html=event.email_html,
        from_email=sender.address if sender else None, from_name=sender.name if sender else event.from_name,
        reply_to=as_columns(read_mailboxes(event.reply_to, "reply_to").recipients) if event.reply_to else [],
        headers=event.headers, attachments=[file.column for file in files] if files else [],
        tags=list(dict.fromkeys(event.tags)) if event.tags else [], metadata=event.metadata,
        expected_sent_at=at.at, timezone=event.timezone, priority=_PRIORITIES[event.priority],
        expires_at=expires.at if expires else None, send_as=event.send_as,
        group_recipients=_group(audience) if event.send_as == "group" else None,
        first_recipients=as_columns(audience.to[:_FIRST_RECIPIENTS]), recipients_count=len(audience),
        provider=event.provider, provider_id=chosen.id if chosen else None, failover=event.failover,
        on_uncertain=event.on_uncertain or facts.on_uncertain,
        warnings=[
            *time_warnings(at, expires, facts.now), *_recipient_warnings(audience),
            *file_warnings((file.content_id for file in files), event.email_html),
            *_route_warnings(chosen, facts, failover=event.failover),
        ],
        status=_PENDING, counts={_SCHEDULED: len(messages)},
        exactly_sent_at=None, error_message=None, version=1,
    )  # fmt: skip
    asked = asked_of(row, (*audience.to, *audience.cc, *audience.bcc))
    row.warnings += check_limits(asked, route_of(chosen, facts, failover=event.failover)) if asked is not None else []
    return NewEvent(row, max(at.at, facts.now), messages, files)


def read_zone(name: str | None, facts: Facts) -> ZoneInfo:
    """Raises InvalidInput (`unknown_timezone`)."""
    if name is None:
        return facts.zone
    try:
        return zone_named(name)
    except UnknownZone as error:
        raise InvalidInput(str(error), code="unknown_timezone", details=[Detail("timezone", str(error))]) from None


def read_time(text: str, zone: ZoneInfo, now: datetime, field: str = "expected_sent_at") -> Instant:
    """Raises InvalidInput (`invalid_datetime`, `too_far_ahead`)."""
    try:
        instant = read_instant(text, zone, now)
    except InvalidInstant as error:
        message = "Invalid datetime format. Use ISO 8601 format."
        raise InvalidInput(message, code="invalid_datetime", details=[Detail(field, str(error))]) from None
    if instant.at > years_after(now, MAX_YEARS_AHEAD):
        message = f"{field} is more than {MAX_YEARS_AHEAD} years ahead: {rfc3339(instant.at)}."
        raise InvalidInput(message, code="too_far_ahead", details=[Detail(field, message)])
    return instant


def read_expiry(text: str | None, zone: ZoneInfo, now: datetime, sent_at: datetime) -> Instant | None:
    """Raises InvalidInput (`invalid_datetime`, `too_far_ahead`, `expires_too_early`)."""
    if text is None:
        return None
    instant = read_time(text, zone, now, "expires_at")
    check_expiry(instant.at, now, sent_at)
    return instant


def check_expiry(expires_at: datetime, now: datetime, sent_at: datetime) -> None:
    """Raises InvalidInput (`expires_too_early`)."""
    if expires_at <= max(sent_at, now):
        message = f"expires_at ({rfc3339(expires_at)}) must be after the sending time ({rfc3339(max(sent_at, now))})."
        raise InvalidInput(message, code="expires_too_early", details=[Detail("expires_at", message)])


def read_sender(address: str | None, name: str | None, facts: Facts) -> Mailbox | None:
    """`name` goes before a name within `address`. Raises InvalidInput (`invalid_sender`, `sender_not_allowed`)."""
    if address is None:
        return None
    try:
        mailbox = parse_mailbox(address)
    except InvalidAddress as error:
        message = f"from_email is not an address: {error.reason}"
        raise InvalidInput(message, code="invalid_sender", details=[Detail("from_email", error.reason)]) from None
    check_sender(mailbox.address, facts.allowed_senders)
    return Mailbox(mailbox.address, name or mailbox.name)


def time_warnings(at: Instant | None, expires: Instant | None, now: datetime) -> list[str]:
    """How times were chosen, and that the sending time is past."""
    warnings = [instant.note for instant in (at, expires) if instant is not None and instant.note is not None]
    if at is not None and at.at < now:
        warnings.append(f"{rfc3339(at.at)} is past: the mail leaves at once.")
    return warnings


def file_warnings(content_ids: Iterable[str | None], html: str | None) -> list[str]:
    """That an image of the HTML has no HTML to stand in, or that the HTML shows what is not there."""
    ids = {content_id for content_id in content_ids if content_id is not None}
    if html is None:
        return ["There is no HTML to show images in: files with a content_id are sent as attachments."] if ids else []
    missing = [shown for shown in shown_in(html) if shown not in ids]
    if not missing:
        return []
    named = ", ".join(f"cid:{shown[:_LONGEST_NAMED]}" for shown in missing[:_MOST_NAMED])
    more = " and more" if len(missing) > _MOST_NAMED else ""
    return [f"The HTML shows {named}{more}, but no attachment has that content_id: a gap is seen there."]


def _messages(event: EventCreate, audience: Audience) -> list[NewMessage]:
    if event.send_as != "group":
        return [NewMessage(uuid7(), r.address, r.name, r.variables) for r in audience.to]
    first, *others = audience.to
    if any(r.variables for r in (*others, *audience.cc, *audience.bcc)):
        message = "A group gets one mail: give variables with its first recipient."
        raise InvalidInput(message, code="invalid_variables", details=[Detail("recipients", message)])
    return [NewMessage(uuid7(), first.address, first.name, first.variables)]


def _group(audience: Audience) -> dict[str, list[dict[str, Any]]]:
    return {"to": as_columns(audience.to), "cc": as_columns(audience.cc), "bcc": as_columns(audience.bcc)}


def _chosen_provider(name: str | None, facts: Facts) -> KnownProvider | None:
    if name is None:
        return None
    provider = named(name, facts.providers)
    if provider is None:
        known = ", ".join(p.name for p in facts.providers[:10])
        message = f"There is no provider {name}." + (f" There are {known}." if known else "")
        raise InvalidInput(message, code="unknown_provider", details=[Detail("provider", message)])
    return provider


def route_of(chosen: KnownProvider | None, facts: Facts, *, failover: bool) -> list[Stop]:
    """Whom a mail may go through: what is switched off is no way, and none goes from real ones into the sandbox."""
    if chosen is not None and not failover:
        return [Stop(chosen.name, chosen.kind)]
    sandbox = chosen.sandbox if chosen is not None else all(p.sandbox for p in facts.providers)
    return [Stop(p.name, p.kind) for p in facts.providers if p.enabled and p.sandbox == sandbox]


def _require_sender(sender: Mailbox | None, chosen: KnownProvider | None, facts: Facts, *, failover: bool) -> None:
    """Raises InvalidInput (`sender_required`) where no mail of this event could have a From."""
    route = [chosen] if chosen is not None and not failover else facts.providers
    if sender is None and facts.from_email is None and not any(provider.from_email for provider in route):
        message = "There is no sender: give from_email, or set one for a provider or for the workspace."
        raise InvalidInput(message, code="sender_required", details=[Detail("from_email", message)])


def _recipient_warnings(audience: Audience) -> list[str]:
    if not audience.doubles:
        return []
    many = "1 recipient was" if audience.doubles == 1 else f"{audience.doubles:,} recipients were"
    return [f"{many} given more than once: each address gets one mail."]


def _route_warnings(chosen: KnownProvider | None, facts: Facts, *, failover: bool) -> list[str]:
    if chosen is not None and not chosen.enabled:
        rest = "another one is used" if failover else "the mail waits until it is switched on"
        return [f"{chosen.name} is switched off: {rest}."]
    if not facts.providers:
        return ["No provider is configured yet: the mail waits until there is one."]
    usable = [chosen] if chosen is not None else [p for p in facts.providers if p.enabled]
    if not usable:
        return ["Every provider is switched off: the mail waits until one is on."]
    # A real provider counts even while it is switched off: then sandbox ones are not used unasked.
    if all(p.sandbox for p in (usable if chosen is not None else facts.providers)):
        return ["Sandbox: the mail goes into the mailbox of this server and not to its recipients."]
    return []
