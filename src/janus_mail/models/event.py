"""What a caller schedules: content, recipients, one time."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.models.states import EventStatus, OnUncertain, SendAs, one_of
from janus_mail.storage.base import Base, Keyed, Stamped


class Event(Keyed, Stamped, Base):
    """Content is kept once here, however many messages it makes."""

    __tablename__ = "events"
    __table_args__ = (
        CheckConstraint(one_of("status", EventStatus), name="status"),
        CheckConstraint(one_of("on_uncertain", OnUncertain), name="on_uncertain"),
        CheckConstraint(one_of("send_as", SendAs), name="send_as"),
        Index("ix_events_list", "workspace_id", "id", postgresql_where=sql("deleted_at IS NULL")),
        Index("ix_events_status", "workspace_id", "status", "id", postgresql_where=sql("deleted_at IS NULL")),
        Index("ix_events_expected", "workspace_id", "expected_sent_at", postgresql_where=sql("deleted_at IS NULL")),
        Index(
            "ix_events_group",
            "group_recipients",
            postgresql_using="gin",
            postgresql_ops={"group_recipients": "jsonb_path_ops"},
            postgresql_where=sql("group_recipients IS NOT NULL"),
        ),
        Index(
            "ix_events_attachments",
            "attachments",
            postgresql_using="gin",
            postgresql_ops={"attachments": "jsonb_path_ops"},
            postgresql_where=sql("attachments <> '[]'"),
        ),
        Index("ix_events_tags", "tags", postgresql_using="gin", postgresql_where=sql("deleted_at IS NULL")),
        Index(
            "ix_events_subject",
            sql("to_tsvector('simple', subject)"),
            postgresql_using="gin",
            postgresql_where=sql("deleted_at IS NULL"),
        ),
    )

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    subject: Mapped[str]
    text: Mapped[str | None]
    html: Mapped[str | None]
    from_email: Mapped[str | None]  # null: the provider's, else the workspace's
    from_name: Mapped[str | None]
    reply_to: Mapped[list[dict[str, Any]]] = mapped_column(server_default=sql("'[]'"))  # {email, name}
    headers: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    # {filename, content_type, size, digest (hex), content_id}: the bytes are in `attachments`
    attachments: Mapped[list[dict[str, Any]]] = mapped_column(server_default=sql("'[]'"))
    tags: Mapped[list[str]] = mapped_column(ARRAY(TEXT), server_default=sql("'{}'"))
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default=sql("'{}'"))
    expected_sent_at: Mapped[datetime]
    timezone: Mapped[str | None]  # as the caller named it
    priority: Mapped[int]
    expires_at: Mapped[datetime | None]
    send_as: Mapped[str] = mapped_column(server_default=SendAs.INDIVIDUAL)
    group: Mapped[dict[str, Any] | None] = mapped_column("group_recipients")  # {to, cc, bcc} of {email, name}
    first_recipients: Mapped[list[dict[str, Any]]]  # up to 20 {email, name}; all are in the messages
    recipients_count: Mapped[int]
    provider: Mapped[str | None]  # the caller's preference, in the caller's words: a provider's id, name or kind
    provider_id: Mapped[uuid.UUID | None]  # whom those words named then: a provider that is renamed stays meant
    failover: Mapped[bool]
    on_uncertain: Mapped[str]
    warnings: Mapped[list[str]] = mapped_column(ARRAY(TEXT), server_default=sql("'{}'"))
    created_by: Mapped[str | None]  # who scheduled it, in words: «API key ci»

    # Written by the roll-up alone.
    status: Mapped[str] = mapped_column(server_default=EventStatus.PENDING)
    counts: Mapped[dict[str, Any]]  # messages per state; absent means none
    exactly_sent_at: Mapped[datetime | None]  # the first accepted
    error_message: Mapped[str | None]  # the last one
    version: Mapped[int] = mapped_column(server_default=sql("1"))  # of the content, for If-Match
    deleted_at: Mapped[datetime | None]
