"""A place in a workspace that waits for somebody."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.models.states import Role, one_of
from janus_mail.storage.base import Base, Keyed


class Invitation(Keyed, Base):
    """One open invitation an address and workspace."""

    __tablename__ = "invitations"
    __table_args__ = (CheckConstraint(one_of("role", Role), name="role"),)

    # Null: to make an account, and a workspace of their own.
    workspace_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    email: Mapped[str]
    role: Mapped[str]
    digest: Mapped[bytes] = mapped_column(unique=True)  # SHA-256 of 256 random bits
    invited_by: Mapped[str]  # in words, for the one who is invited
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    expires_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


Index(
    "uq_invitations_open",
    Invitation.workspace_id,
    func.lower(Invitation.email),
    unique=True,
    postgresql_where=text("accepted_at IS NULL AND revoked_at IS NULL"),
)
