"""A worker's hold on a message: what was claimed, and until when it is ours by a clock that no one can set."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import asyncpg

from janus_mail.telemetry.boot_clock import boot_clock_s


class LeaseLost(Exception):
    """The message is not ours any more: canceled, changed, or claimed by another after our lease ended."""


@dataclass(frozen=True, slots=True)
class Try:
    """What the route needs to know of an earlier attempt."""

    provider_id: uuid.UUID
    round: int
    outcome: str | None
    code: str | None
    stale: bool = False  # from before a person asked for a retry


@dataclass(slots=True, eq=False)
class Hold:
    """One claimed message."""

    id: uuid.UUID
    workspace_id: uuid.UUID
    event_id: uuid.UUID
    event_version: int
    recipient: str
    recipient_name: str | None
    variables: Mapping[str, str]
    due_at: datetime
    give_up_at: datetime
    expires_at: datetime | None
    priority: int
    round: int
    resends: int
    attempt_count: int
    fence: int
    message_id_header: str | None
    dated_at: datetime | None
    reached: bool  # someone of its group has it
    claimed_at: datetime  # by the database's clock
    claimed_at_s: float  # by ours, read before the claim was asked for, so never later
    deadline_s: float
    history: list[Try] = field(default_factory=list)
    resolved: set[str] = field(default_factory=set)  # of a group: who has it, or was refused for good
    suppressed: dict[str, str] = field(default_factory=dict)  # of a group: who must not be mailed, and why

    @classmethod
    def of(cls, row: asyncpg.Record, *, asked_at_s: float, lease_s: float) -> "Hold":
        return cls(**row, claimed_at_s=asked_at_s, deadline_s=asked_at_s + lease_s)

    def check(self) -> None:
        """Raises `LeaseLost` once the lease may have ended."""
        if boot_clock_s() >= self.deadline_s:
            raise LeaseLost

    def renewed(self, asked_at_s: float, lease_s: float) -> None:
        self.deadline_s = max(self.deadline_s, asked_at_s + lease_s)

    def lose(self) -> None:
        self.deadline_s = 0.0

    def now(self) -> datetime:
        """The database's time, reckoned from the claim."""
        return self.claimed_at + timedelta(seconds=boot_clock_s() - self.claimed_at_s)
