"""What events carry beside their text, once for each content."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.storage.base import Base


class Attachment(Base):
    """The bytes of a file. How it is called, and in which events, the events say."""

    __tablename__ = "attachments"
    __table_args__ = (Index(None, "used_at"),)

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[bytes] = mapped_column(primary_key=True)  # SHA-256 of the content
    size: Mapped[int]  # octets
    content: Mapped[bytes]
    used_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())  # when an event last came with it
