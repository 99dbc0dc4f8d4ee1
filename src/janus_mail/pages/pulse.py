"""What goes on now, on every page: whether the workers live and the mail is on time, what is paused, what is parked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from janus_mail.models.states import WaitingFor
from janus_mail.pages import queries
from janus_mail.pages.times import number, rough
from janus_mail.pages.visit import Visit
from janus_mail.pages.words import count, listed

MOST_COUNTED = 1000
_HEARTBEATS_MISSED = 3  # then a worker counts as gone
_LATE_S = 5.0  # so long after its time, mail that nothing holds back is overdue
# What mail waits for past its time: for a headline, and why.
_HELD: Mapping[str, tuple[str, str]] = {
    WaitingFor.CIRCUIT: ("for a provider", "None that may take this mail can do so now."),
    WaitingFor.QUOTA: ("for a new day", "The quota of the providers that may take this mail is used up."),
    WaitingFor.RATE: ("for a turn", "They leave as fast as a provider’s rate lets them."),
    WaitingFor.RETRY: ("for the next try", "The last try put them off."),
}


@dataclass(frozen=True, slots=True)
class Words:
    """Shown as icon, headline and detail; a tone where it wants a person."""

    icon: str
    headline: str
    detail: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Pulse:
    """Mails are counted up to `MOST_COUNTED`: in the mailbox, parked, waiting past its time."""

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
        held={reason: row[reason] for reason in _HELD}, paused=row["paused_at"] is not None,
    )  # fmt: skip
    return Pulse(words, row["caught"], row["parked"], sum(row[reason] for reason in _HELD), row["paused_at"])


def pulse_words(
    alive: int, seen_s: float | None, overdue: int, any_events: bool, *, held: Mapping[str, int], paused: bool
) -> Words:
    """`seen_s`: seconds since any worker was last seen; `any_events`: whether anything was ever scheduled.

    `held`: how many mails wait past their time, by what they wait for.
    """
    late = up_to_most(overdue)
    if paused:
        held_back = f"{late} {'mail is' if overdue == 1 else 'mails are'} due and held back." if overdue else ""
        return Words("parked", "Sending is paused", held_back or "Nothing is due.", "warn")
    if not alive:
        gone = "" if seen_s is None else f"The last one was seen {rough(timedelta(seconds=seen_s))} ago. "
        held_up = f"{late} overdue." if overdue else "Nothing leaves without one."
        return Words("open", "No worker is running", gone + held_up, "bad")
    workers = f"{count(alive, 'worker')}, the last seen {rough(timedelta(seconds=seen_s or 0))} ago."
    if waits := [(many, *_HELD[reason]) for reason, many in held.items() if many]:
        return _waiting(waits, f"{workers} {late} overdue." if overdue else workers)
    if overdue:
        return Words("slow", f"{late} overdue", f"{workers} Mail leaves as fast as the providers take it.", "warn")
    return Words("closed", "Everything is on time" if any_events else "Ready", f"{workers} Nothing overdue.")


def _waiting(waits: Sequence[tuple[int, str, str]], workers: str) -> Words:
    """`waits`: how many, for what, and why."""
    total = sum(many for many, _, _ in waits)
    verb = "waits" if total == 1 else "wait"
    if len(waits) == 1:
        _, what, why = waits[0]
        return Words("clock", f"{up_to_most(total)} {verb} {what}", f"{workers} {why}", "warn")
    parts = listed([f"{up_to_most(many)} {what}" for many, what, _ in waits])
    return Words("clock", f"{up_to_most(total)} {verb} past their time", f"{workers} {parts}.", "warn")


def up_to_most(many: int) -> str:
    """«312», «1,000+»: what is not counted any further."""
    return number(many) + ("+" if many >= MOST_COUNTED else "")
