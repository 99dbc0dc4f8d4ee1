"""What the sandbox caught: the local mailbox."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, func
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.storage.base import Base, Keyed


class CapturedMail(Keyed, Base):
    """One mail that would have left, byte for byte."""

    __tablename__ = "captured_mails"
    __table_args__ = (Index("ix_captured_mails_list", "workspace_id", "id"),)

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    message_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), index=True)
    attempt_id: Mapped[uuid.UUID]
    provider_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("providers.id"))
    sender: Mapped[str]  # of the envelope
    recipients: Mapped[list[str]] = mapped_column(ARRAY(TEXT))  # of the envelope
    subject: Mapped[str]  # as the recipient sees it
    content: Mapped[bytes]  # RFC 5322
    captured_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
