"""One try of one message at one provider."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.storage.base import Base


class Attempt(Base):
    """Never changed once finished (late proof goes to `evidence`), never deleted before its message."""

    __tablename__ = "attempts"
    __table_args__ = (
        Index("uq_attempts_open", "message_id", unique=True, postgresql_where=text("finished_at IS NULL")),
        Index("ix_attempts_message", "message_id", "number"),
        Index("ix_attempts_provider", "workspace_id", "provider_id", "started_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)  # made by the worker before begin
    workspace_id: Mapped[uuid.UUID]
    message_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column(SmallInteger)
    round: Mapped[int] = mapped_column(SmallInteger)
    fence: Mapped[int] = mapped_column(BigInteger)
    worker_id: Mapped[uuid.UUID]
    provider_id: Mapped[uuid.UUID]
    provider_kind: Mapped[str]
    provider_name: Mapped[str]  # as it was called then
    started_at: Mapped[datetime]
    dispatched_at: Mapped[datetime | None]  # when begin had committed: from here on it may have left
    finished_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    code: Mapped[str | None]
    response: Mapped[str | None]  # what the server said, cut at 2 kB
    latency_ms: Mapped[int | None]
    evidence: Mapped[str | None]
    evidence_at: Mapped[datetime | None]
