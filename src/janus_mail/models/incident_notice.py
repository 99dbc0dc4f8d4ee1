"""That the owners of a workspace were told of an incident."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.storage.base import Base


class IncidentNotice(Base):
    """One a circuit's opening, named by its row in `provider_incidents`."""

    __tablename__ = "incident_notices"

    incident_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("provider_incidents.id", ondelete="CASCADE"), primary_key=True
    )
    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), index=True)
    event_id: Mapped[uuid.UUID | None]  # the mail to them; null: nobody could be mailed
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
