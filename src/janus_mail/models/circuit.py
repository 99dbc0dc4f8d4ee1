"""A provider's breaker as it stands now; how it came to that is in its incidents."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.models.states import CircuitState, one_of
from janus_mail.storage.base import Base


class Circuit(Base):
    """One scope: a whole provider, or one sender domain at it. No row means closed."""

    __tablename__ = "circuits"
    __table_args__ = (CheckConstraint(one_of("state", CircuitState), name="state"), Index(None, "workspace_id"))

    provider_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("providers.id", ondelete="CASCADE"), primary_key=True)
    sender_domain: Mapped[str] = mapped_column(primary_key=True)  # empty: the whole provider
    workspace_id: Mapped[uuid.UUID]
    state: Mapped[str]
    number: Mapped[int]  # grows by one with each change: whoever changes it names the number it has seen
    trips: Mapped[int] = mapped_column(SmallInteger)  # how often it opened since it was last closed
    reason: Mapped[str]
    since: Mapped[datetime]  # when it first opened; of a closed one: when it closed
    until: Mapped[datetime | None]  # open: when a probe may go; half open: when its probe is given up; null: by hand
