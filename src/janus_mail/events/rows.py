"""Events and their messages as they lie in the database, between what callers send and what they get."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any


@dataclass(slots=True, kw_only=True)
class EventRow:
    """The columns of `events`."""

    id: uuid.UUID
    workspace_id: uuid.UUID
    subject: str
    text: str | None
    html: str | None
    from_email: str | None
    from_name: str | None
    reply_to: list[dict[str, Any]]
    headers: dict[str, str]
    attachments: list[dict[str, Any]]  # {filename, content_type, size, digest (hex), content_id}
    tags: list[str]
    metadata: dict[str, str]
    expected_sent_at: datetime
    timezone: str | None
    priority: int
    expires_at: datetime | None
    send_as: str
    group_recipients: dict[str, Any] | None
    first_recipients: list[dict[str, Any]]
    recipients_count: int
    provider: str | None
    provider_id: uuid.UUID | None
    failover: bool
    on_uncertain: str
    warnings: list[str]
    created_by: str | None
    status: str
    counts: dict[str, int]
    exactly_sent_at: datetime | None
    error_message: str | None
    version: int
    created_at: datetime
    updated_at: datetime


EVENT_COLUMNS = tuple(field.name for field in fields(EventRow))


@dataclass(slots=True)
class NewMessage:
    """One message to make."""

    id: uuid.UUID
    recipient: str
    recipient_name: str | None
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NewFile:
    """One file that an event carries, with its bytes."""

    filename: str
    content_type: str
    content_id: str | None
    content: bytes = field(repr=False)
    digest: bytes = field(repr=False)  # SHA-256

    @property
    def column(self) -> dict[str, Any]:
        """As it stands in the event."""
        return {
            "filename": self.filename, "content_type": self.content_type, "size": len(self.content),
            "digest": self.digest.hex(), "content_id": self.content_id,
        }  # fmt: skip


@dataclass(slots=True)
class NewEvent:
    """An event to make, as it was understood. `due_at` is its time, or now where that is past."""

    row: EventRow
    due_at: datetime
    messages: list[NewMessage]
    files: Sequence[NewFile] = ()

    @property
    def mails(self) -> int:
        """As quotas count them: one for each recipient."""
        return self.row.recipients_count
