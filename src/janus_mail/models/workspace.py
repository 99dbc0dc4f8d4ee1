"""The tenant. Everything else belongs to exactly one."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.models.states import OnUncertain, one_of
from janus_mail.storage.base import Base, Keyed, Stamped


class Workspace(Keyed, Stamped, Base):
    """A tenant with its defaults."""

    __tablename__ = "workspaces"
    __table_args__ = (
        CheckConstraint(one_of("on_uncertain", OnUncertain), name="on_uncertain"),
        CheckConstraint("retention_days > 0", name="retention_days"),
        CheckConstraint("minute_quota >= 0 AND monthly_quota >= 0", name="quotas"),
        Index("ix_workspaces_paused", "id", postgresql_where=text("paused_at IS NOT NULL")),
    )

    # What settings and commands call it: `default` has one. Others are called by their id.
    handle: Mapped[str | None] = mapped_column(unique=True)
    name: Mapped[str]
    timezone: Mapped[str | None]  # IANA; null: the server's TZ
    from_email: Mapped[str | None]  # the sender where neither event nor provider names one
    from_name: Mapped[str | None]
    allowed_senders: Mapped[list[str] | None] = mapped_column(ARRAY(TEXT))  # addresses or domains; null: any
    on_uncertain: Mapped[str] = mapped_column(server_default=OnUncertain.RESEND)
    paused_at: Mapped[datetime | None]  # nothing is claimed while set
    language: Mapped[str | None]  # of dates and numbers, BCP 47; null: en-GB
    retention_days: Mapped[int | None]  # null: the server's
    minute_quota: Mapped[int | None]  # mails that it may accept in a minute; null: the server's, 0: any number
    monthly_quota: Mapped[int | None]  # likewise in a calendar month, UTC
