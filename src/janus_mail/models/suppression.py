"""An address of a workspace that must not be mailed."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.models.states import SuppressionReason, one_of
from janus_mail.storage.base import Base, Keyed


class Suppression(Keyed, Base):
    """Looked up by the whole address in lower case: the local part's case means nothing to any known service."""

    __tablename__ = "suppressions"
    __table_args__ = (
        CheckConstraint(one_of("reason", SuppressionReason), name="reason"),
        CheckConstraint("address = lower(address)", name="address"),
        UniqueConstraint("workspace_id", "address"),
        Index("ix_suppressions_list", "workspace_id", "id"),
    )

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    address: Mapped[str]
    reason: Mapped[str]
    source: Mapped[str]  # who said so, in words: «SendGrid», «API key ci», «import»
    message_id: Mapped[uuid.UUID | None]  # the mail that led to it, as long as it is kept
    since: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
