"""One configured account at an email service."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.storage.base import Base, Keyed, Stamped


class Provider(Keyed, Stamped, Base):
    """A place in the workspace's route."""

    __tablename__ = "providers"
    __table_args__ = (
        Index("uq_providers_name", "workspace_id", "name", unique=True, postgresql_where=text("deleted_at IS NULL")),
        CheckConstraint("sandbox_failure_rate BETWEEN 0 AND 1", name="sandbox_failure_rate"),
        CheckConstraint(
            "sandbox_mode IN ('ok', 'down', 'slow', 'throttled', 'broken_credentials', 'cut_off')", name="sandbox_mode"
        ),
    )

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    kind: Mapped[str]  # names the service, and so the adapter
    name: Mapped[str]
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    position: Mapped[int]  # in the route, lowest first
    sandbox: Mapped[bool] = mapped_column(server_default=text("false"))
    sandbox_mode: Mapped[str] = mapped_column(server_default=text("'ok'"))
    sandbox_failure_rate: Mapped[float] = mapped_column(server_default=text("0"))
    from_email: Mapped[str | None]  # its default sender
    from_name: Mapped[str | None]
    sender_domains: Mapped[list[str] | None] = mapped_column(ARRAY(TEXT))  # null: any
    rate_per_second: Mapped[float | None]
    daily_quota: Mapped[int | None]
    config: Mapped[bytes]  # JSON, encrypted with JANUS_SECRET_KEYS
    from_environment: Mapped[bool] = mapped_column(server_default=text("false"))  # made of MAIL_*, kept in step
    # A part of the address that its service posts feedback to; of itself it opens nothing else.
    hook_token: Mapped[str] = mapped_column(
        server_default=text("replace((gen_random_uuid())::text, '-'::text, ''::text)")
    )
    heard_at: Mapped[datetime | None]  # when its service last posted feedback, to the hour
    verification: Mapped[dict[str, Any] | None]  # how the last check of its credentials ended
    version: Mapped[int] = mapped_column(server_default=text("1"))
    deleted_at: Mapped[datetime | None]  # kept for its attempts' sake
