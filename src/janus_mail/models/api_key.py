"""A workspace's secret for programs. Only a digest is stored."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.storage.base import Base, Keyed, Stamped


class ApiKey(Keyed, Stamped, Base):
    """`janus_<prefix>_<secret>`: found by its prefix, proven by its digest."""

    __tablename__ = "api_keys"

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    prefix: Mapped[str] = mapped_column(unique=True)
    digest: Mapped[bytes]  # SHA-256 of the whole key; its 256 random bits need no slow hash
    scopes: Mapped[list[str]] = mapped_column(ARRAY(TEXT))
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    rate_limit: Mapped[int | None]  # requests a minute, instead of the server's for each class; 0: no limit
    created_by: Mapped[str | None]  # in words
    successor_id: Mapped[uuid.UUID | None]  # the key that replaces it, which expires after their overlap
