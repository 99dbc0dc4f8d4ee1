"""A duty that one process has at a time, by a lease row (advisory locks break behind PgBouncer)."""

import uuid
from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.storage.base import Base


class Duty(Base):
    """Who has the patrol, and until when."""

    __tablename__ = "duties"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[uuid.UUID | None]
    until: Mapped[datetime]
