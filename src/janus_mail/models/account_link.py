"""A link that proves, once, that somebody reads an address or sits at the server."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.models.states import LinkPurpose, one_of
from janus_mail.storage.base import Base, Keyed


class AccountLink(Keyed, Base):
    """Found by the digest of its secret."""

    __tablename__ = "account_links"
    __table_args__ = (CheckConstraint(one_of("purpose", LinkPurpose), name="purpose"),)

    purpose: Mapped[str]
    user_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    email: Mapped[str | None]  # that it was sent to; of `change_email` the new one
    digest: Mapped[bytes] = mapped_column(unique=True)  # SHA-256 of 256 random bits
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]
