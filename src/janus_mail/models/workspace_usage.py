"""How many mails a workspace has scheduled in a month."""

import uuid
from datetime import date

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.storage.base import Base


class WorkspaceUsage(Base):
    """Counted only where a monthly quota is in force."""

    __tablename__ = "workspace_usage"

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    month: Mapped[date] = mapped_column(primary_key=True)  # its first day, in UTC
    used: Mapped[int] = mapped_column(BigInteger)
