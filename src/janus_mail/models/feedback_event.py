"""What a service told us of a mail after it had accepted it."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.models.states import FeedbackType, one_of
from janus_mail.storage.base import Base, Keyed


class FeedbackEvent(Keyed, Base):
    """One thing that happened to a mail at one recipient, once however often it is told."""

    __tablename__ = "feedback_events"
    __table_args__ = (
        CheckConstraint(one_of("type", FeedbackType), name="type"),
        UniqueConstraint("provider_id", "key"),
        Index("ix_feedback_events_message", "message_id", "occurred_at"),
        Index("ix_feedback_events_list", "workspace_id", "id"),
        Index("ix_feedback_events_unmatched", "received_at", postgresql_where=text("message_id IS NULL")),
    )

    workspace_id: Mapped[uuid.UUID]
    provider_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("providers.id", ondelete="CASCADE"))
    message_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("messages.id", ondelete="CASCADE")
    )  # null: not ours
    key: Mapped[str]  # the service's id of the event, or one made of what tells it from others
    type: Mapped[str]
    recipient: Mapped[str | None]
    provider_message_id: Mapped[str | None]
    reason: Mapped[str | None]  # in the service's words, cut at 2 kB
    details: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))  # what the type has more: url, code, …
    raw: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))  # as it came
    occurred_at: Mapped[datetime]
    received_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
