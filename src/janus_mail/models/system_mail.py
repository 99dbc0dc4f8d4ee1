"""A mail of our own that has not left yet: to confirm an address, to set a new password, an invitation."""

from datetime import datetime

from sqlalchemy import SmallInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.storage.base import Base, Keyed


class SystemMail(Keyed, Base):
    """Sealed, since links in it open accounts; gone when it has left or is of no more use."""

    __tablename__ = "system_mails"

    sealed: Mapped[bytes]  # recipient, subject, text, html
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    next_try_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp(), index=True)
    expires_at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    last_error: Mapped[str | None]
