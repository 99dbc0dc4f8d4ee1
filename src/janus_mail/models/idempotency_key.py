"""A request that was answered with 2xx, so that its repetition is answered alike."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, SmallInteger, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.storage.base import Base


class IdempotencyKey(Base):
    """Kept for 24 hours per workspace, route and key."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("ix_idempotency_keys_created_at", "created_at"),)

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    route: Mapped[str] = mapped_column(primary_key=True)  # method and path
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes]  # SHA-256 of method, path and body
    status: Mapped[int] = mapped_column(SmallInteger)
    resource_id: Mapped[uuid.UUID | None]  # what was made
    answer: Mapped[Any | None] = mapped_column(JSONB)  # where no single resource was made (a batch)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
