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
        Index("ix_workspaces_paused", "id", postgresql_where=text("paused_at IS NOT NULL")),
    )

    name: Mapped[str] = mapped_column(unique=True)
    timezone: Mapped[str | None]  # IANA; null: the server's TZ
    from_email: Mapped[str | None]  # the sender where neither event nor provider names one
    from_name: Mapped[str | None]
    allowed_senders: Mapped[list[str] | None] = mapped_column(ARRAY(TEXT))  # addresses or domains; null: any
    on_uncertain: Mapped[str] = mapped_column(server_default=OnUncertain.RESEND)
    paused_at: Mapped[datetime | None]  # nothing is claimed while set
