"""What goes on now, on every page: whether the workers live and the mail is on time, what is paused, what is parked."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from janus_mail.pages import queries
from janus_mail.pages.times import number, rough
from janus_mail.pages.visit import Visit
from janus_mail.pages.words import count

MOST_COUNTED = 1000
_HEARTBEATS_MISSED = 3  # then a worker counts as gone
_LATE_S = 5.0  # so long after its time, mail that nothing holds back is overdue


@dataclass(frozen=True, slots=True)
class Words:
    """Shown as icon, headline and detail; a tone where it wants a person."""

    icon: str
    headline: str
    detail: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Pulse:
    """Mails are counted up to `MOST_COUNTED`: in the mailbox, parked, waiting for a provider that takes mail."""

    words: Words
    caught: int
    parked: int
    waiting: int
    paused_at: datetime | None


async def read_pulse(visit: Visit) -> Pulse:
    settings = visit.context.settings
    row = await visit.context.database.pool.fetchrow(
        queries.PULSE, visit.caller.workspace_id, settings.patrol_seconds * _HEARTBEATS_MISSED, _LATE_S, MOST_COUNTED
    )
    assert row is not None  # noqa: S101
    words = pulse_words(
        row["alive"], row["seen_s"], row["overdue"], row["any_events"],
        waiting=row["waiting"], paused=row["paused_at"] is not None,
    )  # fmt: skip
    return Pulse(words, row["caught"], row["parked"], row["waiting"], row["paused_at"])


def pulse_words(
    alive: int, seen_s: float | None, overdue: int, any_events: bool, *, waiting: int, paused: bool
) -> Words:
    """`seen_s`: seconds since any worker was last seen; `any_events`: whether anything was ever scheduled."""
    late = up_to_most(overdue)
    if paused:
        held_back = f"{late} {'mail is' if overdue == 1 else 'mails are'} due and held back." if overdue else ""
        return Words("parked", "Sending is paused", held_back or "Nothing is due.", "warn")
    if not alive:
        gone = "" if seen_s is None else f"The last one was seen {rough(timedelta(seconds=seen_s))} ago. "
        held_up = f"{late} overdue." if overdue else "Nothing leaves without one."
        return Words("open", "No worker is running", gone + held_up, "bad")
    workers = f"{count(alive, 'worker')}, the last seen {rough(timedelta(seconds=seen_s or 0))} ago."
    if waiting:
        headline = f"{up_to_most(waiting)} {'waits' if waiting == 1 else 'wait'} for a provider"
        return Words("open", headline, f"{workers} None that may take this mail can do so now.", "warn")
    if overdue:
        return Words("slow", f"{late} overdue", f"{workers} Mail leaves as fast as the providers take it.", "warn")
    return Words("closed", "Everything is on time" if any_events else "Ready", f"{workers} Nothing overdue.")


def up_to_most(many: int) -> str:
    """«312», «1,000+»: what is not counted any further."""
    return number(many) + ("+" if many >= MOST_COUNTED else "")
