"""Who is in a workspace, and as what."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.models.states import Role, one_of
from janus_mail.storage.base import Base


class Membership(Base):
    """A person in a workspace."""

    __tablename__ = "memberships"
    __table_args__ = (CheckConstraint(one_of("role", Role), name="role"),)

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True)
    role: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
