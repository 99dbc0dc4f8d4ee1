"""What a service posted to a provider's hook and nobody has worked on yet."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Index, SmallInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.storage.base import Base, Keyed


class HookPost(Keyed, Base):
    """Its signature was checked. Stored before it is answered, worked on later, and then gone."""

    __tablename__ = "hook_posts"
    __table_args__ = (Index(None, "next_try_at"),)

    workspace_id: Mapped[uuid.UUID]
    provider_id: Mapped[uuid.UUID]
    kind: Mapped[str]  # who reads it: the provider's kind, or `dsn`
    headers: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))  # those that its reader asks for
    body: Mapped[bytes]
    received_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    next_try_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    tries: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    last_error: Mapped[str | None]
