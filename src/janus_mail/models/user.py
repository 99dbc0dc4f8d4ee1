"""A person. Belongs to no workspace: memberships say in which they are."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.storage.base import Base, Keyed, Stamped


class User(Keyed, Stamped, Base):
    """An account. An erased one keeps its row, so that what it did keeps an author, and nothing of its person."""

    __tablename__ = "users"

    email: Mapped[str]  # as typed; found and unique in lower case
    name: Mapped[str]
    password_digest: Mapped[str | None]  # argon2id, in its own format; null: none was set
    password_changed_at: Mapped[datetime | None]
    confirmed_at: Mapped[datetime | None]  # the address is theirs; before it nobody signs in
    administrator: Mapped[bool] = mapped_column(server_default=text("false"))  # of the server, not of a workspace
    disabled_at: Mapped[datetime | None]
    erased_at: Mapped[datetime | None]
    totp_secret: Mapped[bytes | None]  # sealed; with `totp_since` null it is not in force yet
    totp_since: Mapped[datetime | None]
    totp_step: Mapped[int | None] = mapped_column(BigInteger)  # of the last code that was taken: none counts twice


Index("uq_users_email", func.lower(User.email), unique=True)
