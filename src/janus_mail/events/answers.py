"""What callers get: events, messages, attempts, and the envelopes around them."""

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from janus_mail.events.schemas import PriorityWord
from janus_mail.models.states import EventStatus, FeedbackType, State, WaitingFor
from janus_mail.providers.outcomes import Outcome

_EVENT_ID = "0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a01"
_MESSAGE_ID = "0199f2b8-6d0c-7a3e-9f5b-30a1c2d3e4f5"

# Of a recipient: a state of its own, `waiting`, or the state in which its message ended.
RecipientWord = Literal[
    "waiting", "sent", "deferred", "failed", "uncertain", "canceled", "expired", "suppressed", "parked"
]

Id = Annotated[uuid.UUID, Field(title="Id", examples=[_EVENT_ID])]
Instant = Annotated[datetime, Field(description="RFC 3339, in UTC.", examples=["2026-07-15T08:00:00Z"])]


class MailboxOut(BaseModel):
    """An address as it goes on the wire, with its name."""

    email: str = Field(title="Address", examples=["test@example.com"])
    name: str | None = Field(None, title="Name", examples=["Ann Example"])


class AttachmentOut(BaseModel):
    """A file that goes along; its bytes are at `/api/events/{id}/attachments/` and its place, from 0."""

    filename: str = Field(title="File name", examples=["hello.txt"])
    content_type: str = Field(title="Content type", examples=["text/plain"])
    size: int = Field(title="Octets", examples=[14])
    content_id: str | None = Field(
        None, title="Content-ID", description="Of an image within the HTML.", examples=["logo"]
    )


class _Named(BaseModel):
    id: Id
    status: EventStatus = Field(title="Status", description="Follows from its messages' states.", examples=["pending"])


class UnderstoodEvent(BaseModel):
    """What an event says, with what was filled in."""

    email_subject: str = Field(title="Subject", examples=["Hello World"])
    email_content: str | None = Field(title="Plain text", examples=["This is a test email."])
    email_html: str | None = Field(title="HTML", examples=["<p>This is a test email.</p>"])
    expected_sent_at: Instant = Field(title="When to send")
    timezone: str | None = Field(title="Time zone", description="As the caller named it.", examples=["Europe/Berlin"])
    recipients: list[MailboxOut] = Field(
        title="Recipients",
        description="The first 20; all are in the event's messages, of a group in `cc` and `bcc` too.",
    )
    recipients_count: int = Field(title="Number of recipients", description="Without doubles.", examples=[1])
    cc: list[MailboxOut] = Field(title="Copies")
    bcc: list[MailboxOut] = Field(title="Blind copies")
    reply_to: list[MailboxOut] = Field(title="Where answers go")
    send_as: Literal["individual", "group"] = Field(title="One mail each, or one for all", examples=["individual"])
    from_email: str | None = Field(
        title="Sender's address",
        description="Null: the provider's, else the workspace's.",
        examples=["ann@example.com"],
    )
    from_name: str | None = Field(title="Sender's name", examples=["Ann Example"])
    provider: str | None = Field(title="Provider", description="Tried first.", examples=["Amazon SES"])
    failover: bool = Field(title="Failover", description="Whether other providers may be used.", examples=[True])
    priority: PriorityWord = Field(title="Priority", examples=["normal"])
    expires_at: Instant | None = Field(title="Not after")
    on_uncertain: Literal["resend", "park"] = Field(title="When it is not known whether it left", examples=["resend"])
    headers: dict[str, str] = Field(title="Extra headers", examples=[{"X-Campaign": "spring"}])
    tags: list[str] = Field(title="Tags", examples=[["welcome"]])
    metadata: dict[str, str] = Field(title="Metadata", examples=[{"order": "4711"}])
    attachments: list[AttachmentOut] = Field(title="Attachments")
    warnings: list[str] = Field(
        title="Warnings",
        description="What the caller may not have meant, in words.",
        examples=[["2024-07-15T10:00:00Z is past: the mail leaves at once."]],
    )


class RecipientsReached(BaseModel):
    """What became of those whom a group's mail goes to; together they are `recipients_count`."""

    sent: int = Field(title="Recipients whom a provider accepted it for", examples=[2])
    failed: int = Field(
        title="Recipients who will not get it", description="Refused, given up, stopped, suppressed.", examples=[1]
    )
    waiting: int = Field(
        title="Recipients for whom that is open",
        description="Not asked yet, put off, or uncertain: the message's `recipients` say which.",
        examples=[0],
    )


class EventOut(UnderstoodEvent, _Named):
    """An event as it was understood, and how far it is."""

    created_at: Instant = Field(title="When it was accepted")
    created_by: str | None = Field(title="Who scheduled it", examples=["API key ci"])
    updated_at: Instant = Field(title="When it last changed")
    exactly_sent_at: Instant | None = Field(title="When its first mail was accepted by a provider")
    error_message: str | None = Field(title="The last error", examples=["550 5.1.1 No such user"])
    counts: dict[State, int] = Field(
        title="Messages in each state", examples=[{state.value: int(state is State.SCHEDULED) for state in State}]
    )
    recipients_reached: RecipientsReached | None = Field(
        None,
        title="Recipients of a group",
        description="A group is one message, `sent` as soon as one of its recipients has it. Null in lists, where an "
        "event was just accepted, and where there is no group.",
    )
    version: int = Field(title="Version", description="Of what may be changed; for `If-Match`.", examples=[1])


class EventAnswer(BaseModel):
    """An event that was accepted or changed."""

    status: Literal["success"] = Field("success", title="Always `success`", examples=["success"])
    message: str = Field(title="What was done, in words", examples=["Email scheduled successfully"])
    event: EventOut


class CancelAnswer(EventAnswer):
    """What was still to be stopped, and what was not."""

    message: str = Field(title="What was done, in words", examples=["2 messages canceled; 1 was too late."])
    canceled: int = Field(title="Messages that were stopped", examples=[2])
    too_late: int = Field(title="Messages that were leaving or had left", examples=[1])


class MovedAnswer(EventAnswer):
    """How many messages go out because of this request."""

    message: str = Field(title="What was done, in words", examples=["3 messages go out now."])
    messages: int = Field(title="How many", examples=[3])
    warnings: list[str] = Field(
        title="What keeps them back all the same",
        description="Where no provider can take them at this moment: what is against each. Empty: nothing known.",
        examples=[["Amazon SES: its daily quota is used up, until 2026-07-16 00:00 UTC."]],
    )


class CancelManyAnswer(BaseModel):
    """What was stopped of many events, or would be."""

    status: Literal["success"] = Field("success", title="Always `success`", examples=["success"])
    message: str = Field(
        title="What was done, in words",
        examples=["3 messages of 2 events would be canceled. Send dry_run: false to do it."],
    )
    dry_run: bool = Field(title="Whether it was only counted", examples=[True])
    events: int = Field(title="Events that fit and are not over", examples=[2])
    messages: int = Field(title="Messages that were stopped, or would be", examples=[3])
    too_late: int = Field(title="Messages of these events that were leaving or had left", examples=[0])


class BatchItem(BaseModel):
    """One event of the batch that was accepted."""

    id: Id
    status: EventStatus = Field(title="Status", examples=["pending"])


class BatchRefusal(BaseModel):
    """One event of the batch that was not."""

    error: str = Field(title="One sentence for a person", examples=["Invalid emails: not-an-address"])
    code: str = Field(title="For a program", examples=["invalid_recipients"])
    index: int = Field(title="Its place in the request, from 0", examples=[1])


class BatchAnswer(BaseModel):
    """In the order of the request."""

    data: list[BatchItem | BatchRefusal] = Field(title="What became of each")
    accepted: int = Field(title="How many were accepted", examples=[1])
    rejected: int = Field(title="How many were not", examples=[1])


class ProviderRef(BaseModel):
    """A provider, as it was called."""

    id: Id
    kind: str = Field(title="Kind", examples=["ses"])
    name: str = Field(title="Name", examples=["Amazon SES"])


class MessageOut(BaseModel):
    """One email of an event."""

    id: Id
    event_id: Id
    recipient: str = Field(title="Recipient", description="Of a group: the first.", examples=["test@example.com"])
    recipient_name: str | None = Field(title="Its name", examples=["Ann Example"])
    state: State = Field(title="State", examples=["sent"])
    due_at: Instant = Field(title="When it is due")
    next_try_at: Instant | None = Field(title="When it is tried next", description="Null once it is final.")
    waiting_for: WaitingFor | None = Field(title="Why it is not tried before", examples=["retry"])
    attempt_count: int = Field(title="Tries so far", examples=[1])
    provider: ProviderRef | None = Field(title="The provider of the last try")
    provider_message_id: str | None = Field(title="The provider's id for it", examples=["0102018c3f"])
    message_id_header: str | None = Field(title="Its Message-ID", examples=["<0199f2b8@example.com>"])
    sent_at: Instant | None = Field(title="When a provider accepted it")
    last_error: str | None = Field(title="The last error", examples=["550 5.1.1 No such user"])
    delivery_status: FeedbackType | None = Field(
        title="How far it has come",
        description="As its provider told: the furthest that came back, so that `bounced_hard` and `complained` stay "
        "whatever comes after them.",
        examples=["delivered"],
    )


class AttemptOut(BaseModel):
    """One try of a message at one provider."""

    number: int = Field(title="Number", description="Counts from 1.", examples=[1])
    provider: ProviderRef
    started_at: Instant = Field(title="When it began")
    dispatched_at: Instant | None = Field(title="From when on it may have left")
    finished_at: Instant | None = Field(title="When its outcome was known", description="Null while it is open.")
    latency_ms: int | None = Field(title="How long it took, in ms", examples=[43])
    outcome: Outcome | None = Field(title="Outcome", description="Null while it is open.", examples=["accepted"])
    code: str | None = Field(title="Short form of the answer", examples=["250"])
    response: str | None = Field(title="What the server said", examples=["2.0.0 Ok: queued as 4F2C"])
    evidence: str | None = Field(
        title="What proved later that an uncertain one had been taken", examples=["feedback: delivered 250 OK"]
    )
    evidence_at: Instant | None = Field(title="When that was")


class RecipientOut(BaseModel):
    """What became of one recipient of a group's mail."""

    address: str = Field(title="Address", examples=["ann@example.com"])
    role: Literal["to", "cc", "bcc"] = Field(title="Where it stands", examples=["to"])
    state: RecipientWord = Field(
        title="What became of it",
        description="`waiting`: no server has answered for it yet. `sent`: a provider accepted it. `deferred`: refused "
        "for now, to be tried again. `failed`: refused for good, or given up. `suppressed`: left out of the mail, as "
        "the address must not be mailed. Where the message ended, or is `uncertain`, without an answer for this "
        "recipient, it is the message's state.",
        examples=["sent"],
    )
    code: str | None = Field(title="Short form of the answer", examples=["250"])
    response: str | None = Field(title="What the server said of it", examples=["2.1.5 Ok"])
    delivery_status: FeedbackType | None = Field(title="How far its mail has come", examples=["delivered"])


class FeedbackOut(BaseModel):
    """One thing that a service told of a mail after it had taken it."""

    id: Id
    type: FeedbackType = Field(
        title="What happened", description="Every service's words as these; `unknown` keeps `raw` alone."
    )
    at: Instant = Field(title="When it happened, as the service says")
    provider: ProviderRef
    recipient: str | None = Field(title="To whom", examples=["ann@example.org"])
    reason: str | None = Field(title="Why, in the service's words", examples=["550 5.1.1 User unknown"])
    details: dict[str, Any] = Field(title="What there is more", examples=[{"url": "https://example.com/invoice"}])


class MessageDetail(MessageOut):
    """A message with its attempts and what came back, first first."""

    attempts: list[AttemptOut] = Field(title="Attempts")
    recipients: list[RecipientOut] = Field(
        title="Recipients", description="Of a group, in its order; otherwise empty: `recipient` says it."
    )
    feedback: list[FeedbackOut] = Field(title="What came back", description="The last 100.")


class RouteStep(BaseModel):
    """A provider that may be tried."""

    provider: ProviderRef
    sandbox: bool = Field(title="Whether the mail ends in the local mailbox", examples=[False])
    note: str | None = Field(title="What slows it", examples=["At most 5 mails a second."])


class LeftOut(BaseModel):
    """A provider that is not tried."""

    provider: ProviderRef
    reason: str = Field(title="Why, in words", examples=["its daily quota is used up"])
    until: Instant | None = Field(title="Until when", description="Null: until somebody or something changes it.")


class RouteOut(BaseModel):
    """Whom a mail would be tried with at this moment."""

    providers: list[RouteStep] = Field(title="In the order in which they are tried")
    left_out: list[LeftOut] = Field(title="Every other provider")
    notes: list[str] = Field(
        title="What else keeps the mail back",
        examples=[["The workspace is paused: nothing leaves until it is resumed."]],
    )


class DryRunAnswer(BaseModel):
    """What an event would be and where its mail would go. Nothing was stored."""

    status: Literal["success"] = Field("success", title="Always `success`", examples=["success"])
    message: str = Field(title="What was done, in words", examples=["Nothing was stored."])
    event: UnderstoodEvent
    messages: int = Field(title="How many mails it would make", examples=[1])
    due_at: Instant = Field(title="When they would be due", description="A time in the past means now.")
    route: RouteOut
