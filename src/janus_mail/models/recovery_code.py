"""A code that stands in, once, for the second factor."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.storage.base import Base, Keyed


class RecoveryCode(Keyed, Base):
    """Ten are made with a second factor; new ones replace them all."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    digest: Mapped[bytes]  # SHA-256
    used_at: Mapped[datetime | None]
