"""Events whose counts the roll-up has to renew. Appended to, so that hot statements never wait for one another."""

import uuid

from sqlalchemy import BigInteger, Identity
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.storage.base import Base


class EventDirty(Base):
    """One mark; the same event may have many."""

    __tablename__ = "event_dirty"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    workspace_id: Mapped[uuid.UUID]
    event_id: Mapped[uuid.UUID]
