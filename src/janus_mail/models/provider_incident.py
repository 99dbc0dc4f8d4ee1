"""The history of a provider's circuits."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.models.states import CircuitCause, CircuitState, one_of
from janus_mail.storage.base import Base, Keyed


class ProviderIncident(Keyed, Base):
    """One change of one circuit. Append-only: a trigger refuses to change a row."""

    __tablename__ = "provider_incidents"
    __table_args__ = (
        CheckConstraint(one_of("state", CircuitState), name="state"),
        CheckConstraint(one_of("cause", CircuitCause), name="cause"),
        UniqueConstraint("provider_id", "sender_domain", "number"),
        Index("ix_provider_incidents_list", "workspace_id", "provider_id", "id"),
    )

    workspace_id: Mapped[uuid.UUID]
    provider_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("providers.id", ondelete="CASCADE"))
    sender_domain: Mapped[str]  # empty: the whole provider
    number: Mapped[int]  # of the circuit's changes, from 1
    state: Mapped[str]  # the one that began here
    cause: Mapped[str]
    reason: Mapped[str]  # in words: «5 failures in a row: 421 4.3.2 Service not available»
    actor: Mapped[str | None]  # who did it by hand, in words
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    until: Mapped[datetime | None]
