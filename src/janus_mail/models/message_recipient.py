"""What became of each recipient of a group's mail."""

import uuid

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.models.states import RecipientState, one_of
from janus_mail.storage.base import Base


class MessageRecipient(Base):
    """Written by the finish of a try at a group, and only for groups. One that is not here was not answered for yet."""

    __tablename__ = "message_recipients"
    __table_args__ = (
        CheckConstraint(one_of("state", RecipientState), name="state"),
        CheckConstraint("role IN ('to', 'cc', 'bcc')", name="role"),
    )

    message_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True)
    address: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[uuid.UUID]
    role: Mapped[str]
    state: Mapped[str]
    code: Mapped[str]
    response: Mapped[str]
    delivery_status: Mapped[str | None]  # what came back later, as of a message
