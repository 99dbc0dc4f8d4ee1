"""One email of an event: the unit of delivery."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from janus_mail.models.states import State, WaitingFor, one_of
from janus_mail.storage.base import Base, Keyed


class Message(Keyed, Base):
    """Changed by `delivery` alone after it was accepted."""

    __tablename__ = "messages"
    __table_args__ = (
        CheckConstraint(one_of("state", State), name="state"),
        CheckConstraint(one_of("waiting_for", WaitingFor), name="waiting_for"),
        # The claim reads the first by time, or with a backlog lane by lane; both stay small however much was sent.
        Index("ix_messages_due", "next_try_at", postgresql_where=text("state = 'scheduled'")),
        Index(
            "ix_messages_lane", "priority", "workspace_id", "next_try_at", "id",
            postgresql_where=text("state = 'scheduled'"),
        ),
        Index("ix_messages_leases", "lease_expires_at", postgresql_where=text("state IN ('leased', 'sending')")),
        Index("ix_messages_uncertain", "next_try_at", postgresql_where=text("state = 'uncertain'")),
        # What went wrong is little beside what was sent, and is what people look for.
        Index(
            "ix_messages_trouble", "workspace_id", "state", "id",
            postgresql_where=text("state IN ('failed', 'parked', 'uncertain')"),
        ),
        Index(
            "ix_messages_waiting", "workspace_id", "waiting_for", "priority", "due_at",
            postgresql_where=text("state = 'scheduled' AND waiting_for IS NOT NULL"),
        ),
        Index("ix_messages_event", "event_id", "id"),
        Index("ix_messages_list", "workspace_id", "id"),
        Index("ix_messages_recipient", "workspace_id", "recipient", "id"),
    )  # fmt: skip

    workspace_id: Mapped[uuid.UUID]  # its event's; the key to the event is enough
    event_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("events.id", ondelete="CASCADE"))
    recipient: Mapped[str]  # wire form; of a group: the first
    recipient_name: Mapped[str | None]
    variables: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    state: Mapped[str] = mapped_column(server_default=State.SCHEDULED)
    due_at: Mapped[datetime]  # changes by reschedule alone
    next_try_at: Mapped[datetime]  # when to claim it; of an uncertain one: when to resolve it
    waiting_for: Mapped[str | None]
    priority: Mapped[int] = mapped_column(SmallInteger)
    expires_at: Mapped[datetime | None]
    give_up_at: Mapped[datetime]  # pushed on by time in which no provider was eligible
    put_off_at: Mapped[datetime | None]  # since when none is; counted when it is claimed again
    cancel_at: Mapped[datetime | None]  # its caller canceled it while it may have been leaving: no further try
    round: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))
    retried_at: Mapped[datetime | None]  # when a person asked for it once more: earlier refusals no longer count
    resends: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    attempt_count: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    fence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))  # makes an old claim worthless
    lease_expires_at: Mapped[datetime | None]
    leased_by: Mapped[uuid.UUID | None]  # the worker process
    # Of the last attempt. No foreign key: every begin would lock the provider's row.
    provider_id: Mapped[uuid.UUID | None]
    provider_message_id: Mapped[str | None]
    message_id_header: Mapped[str | None]  # set by the first begin, the same ever after
    dated_at: Mapped[datetime | None]  # the Date header, likewise: a resend has the same bytes
    sent_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    delivery_status: Mapped[str | None]  # what came back later
    version: Mapped[int] = mapped_column(server_default=text("1"))
