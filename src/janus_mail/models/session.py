"""A browser in which somebody is signed in."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.storage.base import Base, Keyed


class Session(Keyed, Base):
    """Found by the digest of what its cookie holds."""

    __tablename__ = "sessions"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    # The one that is shown; null: the first of theirs.
    workspace_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("workspaces.id", ondelete="SET NULL"), index=True)
    digest: Mapped[bytes] = mapped_column(unique=True)  # SHA-256 of 256 random bits
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]
    address: Mapped[str]  # from where it was begun
    user_agent: Mapped[str]
