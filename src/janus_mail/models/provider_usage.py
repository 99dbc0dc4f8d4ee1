"""How much of its daily quota a provider has used."""

import uuid
from datetime import date

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.storage.base import Base


class ProviderUsage(Base):
    """One day in UTC. Counted only for providers that have a quota; workers take it in blocks."""

    __tablename__ = "provider_usage"

    provider_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("providers.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    workspace_id: Mapped[uuid.UUID]
    used: Mapped[int]
