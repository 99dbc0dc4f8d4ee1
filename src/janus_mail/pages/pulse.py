"""Whether the workers live and the mail is on time: the line that every page has."""

from dataclasses import dataclass
from datetime import timedelta

from janus_mail.pages import queries
from janus_mail.pages.times import number, rough
from janus_mail.pages.visit import Visit
from janus_mail.pages.words import count

_HEARTBEATS_MISSED = 3  # then a worker counts as gone
_LATE_S = 5.0  # so long after its time, mail that nothing holds back is overdue
_MOST_COUNTED = 1000


@dataclass(frozen=True, slots=True)
class Words:
    """Shown as icon, headline and detail; a tone where it wants a person."""

    icon: str
    headline: str
    detail: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Pulse:
    """`caught` is the number of mails in the mailbox, up to a thousand."""

    words: Words
    caught: int


async def read_pulse(visit: Visit) -> Pulse:
    settings = visit.context.settings
    row = await visit.context.database.pool.fetchrow(
        queries.PULSE, visit.caller.workspace_id, settings.patrol_seconds * _HEARTBEATS_MISSED, _LATE_S, _MOST_COUNTED
    )
    assert row is not None  # noqa: S101
    return Pulse(pulse_words(row["alive"], row["seen_s"], row["overdue"], row["any_events"]), row["caught"])


def pulse_words(alive: int, seen_s: float | None, overdue: int, any_events: bool) -> Words:
    """`seen_s`: seconds since any worker was last seen; `any_events`: whether anything was ever scheduled."""
    late = number(overdue) + ("+" if overdue >= _MOST_COUNTED else "")
    if not alive:
        gone = "" if seen_s is None else f"The last one was seen {rough(timedelta(seconds=seen_s))} ago. "
        held_up = f"{late} overdue." if overdue else "Nothing leaves without one."
        return Words("open", "No worker is running", gone + held_up, "bad")
    workers = f"{count(alive, 'worker')}, the last seen {rough(timedelta(seconds=seen_s or 0))} ago."
    if overdue:
        return Words("slow", f"{late} overdue", f"{workers} Mail leaves as fast as the providers take it.", "warn")
    return Words("closed", "Everything is on time" if any_events else "Ready", f"{workers} Nothing overdue.")
