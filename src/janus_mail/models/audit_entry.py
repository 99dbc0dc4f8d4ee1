"""Who did what, when, from where, to which object."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.models.states import ActorKind, one_of
from janus_mail.storage.base import Base, Keyed


class AuditEntry(Keyed, Base):
    """Outlives its workspace and its actor, so it refers to neither by a foreign key.

    Append-only: a trigger refuses all but an erasure, which may change words, but not what was done,
    when, or by which id.
    """

    __tablename__ = "audit_log"
    __table_args__ = (
        CheckConstraint(one_of("actor_kind", ActorKind), name="actor_kind"),
        Index("ix_audit_log_list", "workspace_id", "id"),
        Index("ix_audit_log_actor_id", "actor_id", "id"),
    )

    workspace_id: Mapped[uuid.UUID | None]  # null: about an account or the server
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    actor_kind: Mapped[str]
    actor_id: Mapped[uuid.UUID | None]  # a user's or an API key's
    actor: Mapped[str]  # in words: an email address, «API key ci»
    address: Mapped[str | None]  # from where
    request_id: Mapped[str | None]
    action: Mapped[str]  # `provider.changed`
    object_kind: Mapped[str]  # `provider`
    object_id: Mapped[uuid.UUID | None]
    object: Mapped[str | None]  # its name then
    before: Mapped[dict[str, Any] | None]  # what changed, as it was; secrets masked
    after: Mapped[dict[str, Any] | None]
