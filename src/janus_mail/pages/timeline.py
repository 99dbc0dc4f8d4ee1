"""One message's way, step by step, in plain words. Pure: from rows to sentences."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlencode

from janus_mail.events.answers import AttemptOut, EventOut, MessageDetail, MessageOut
from janus_mail.models.states import OnUncertain, State
from janus_mail.pages.feedback_words import happenings
from janus_mail.pages.refusal_words import KEY
from janus_mail.pages.times import Clock, exact, milliseconds, rough
from janus_mail.pages.waiting import Wait, in_full
from janus_mail.pages.words import Saying, by_whom, met, passed_over, said_by, saying, why_suppressed
from janus_mail.providers.outcomes import Outcome

_AT_ONCE = timedelta(seconds=2)
_ON_TIME = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the timeline. Without an instant it is what comes, or what nobody timed."""

    at: datetime | None
    icon: str
    tone: str
    happened: str
    matters: str = ""
    took: str = ""  # «118 ms»
    said: str = ""  # by the server, word for word
    precise: bool = False  # its time is worth tenths of a second
    caught: uuid.UUID | None = None  # the mail that the sandbox kept
    asks: bool = False  # a person decides here
    link: tuple[str, str] | None = None  # an address, and the words that lead there


@dataclass(frozen=True, slots=True)
class Aside:
    """What the API does not tell of a message.

    `caught`: where it lies in the mailbox; `parked_at`: when it was, or when its turn came; `route`: the names of the
    providers it may take.
    """

    caught: uuid.UUID | None
    resends: int
    parked_at: datetime
    route: Sequence[str]
    providers: Collection[uuid.UUID] = ()  # that are there, and can be edited
    listed: bool = False  # its address is on the list of those that must not be mailed


def way(event: EventOut, message: MessageDetail, clock: Clock, aside: Aside) -> list[Step]:
    """From being scheduled to where the message is now, with what came back."""
    steps = [_scheduled(event, message, clock)]
    attempts = message.attempts
    for place, attempt in enumerate(attempts):
        following = attempts[place + 1] if place + 1 < len(attempts) else None
        step = _tried(attempt, following, message)
        if attempt.provider.id in aside.providers and _saying(attempt).short == KEY[2]:
            step = replace(step, link=(f"/providers/{attempt.provider.id}/edit", "Put in a new key"))
        steps.append(replace(step, caught=aside.caught) if attempt.outcome == Outcome.ACCEPTED else step)
    steps += [
        Step(one.at, one.icon, one.tone, one.happened, one.matters, said=one.said)
        for one in happenings(message.feedback, clock, of_group=event.send_as == "group")
    ]
    last = _now(event, message, attempts, clock, aside)
    return [*steps, last] if last else steps


def _scheduled(event: EventOut, message: MessageOut, clock: Clock) -> Step:
    ahead = message.due_at - event.created_at
    day = "" if clock.day(message.due_at) == clock.day(event.created_at) else f"{clock.day(message.due_at)}, "
    when = "at once" if ahead < _ON_TIME else f"for {day}{clock.to_the_second(message.due_at)}"
    early = "" if ahead < _ON_TIME else f", {rough(ahead)} ahead"
    return Step(event.created_at, "clock", "", f"Scheduled {when}", f"By {by_whom(event.created_by)}{early}.")


def _tried(attempt: AttemptOut, following: AttemptOut | None, message: MessageOut) -> Step:
    words = _saying(attempt)
    matters = words.matters
    if attempt.evidence is not None:
        matters = f"Nobody knew whether it had arrived, until {attempt.provider.name} told: it has it."
    limit = passed_over(attempt.outcome, attempt.code, attempt.response)
    consequence = _consequence(attempt, following, message)
    return Step(
        # A success is timed by its end, as «left at» is; a failure by its beginning.
        at=(attempt.finished_at or attempt.started_at) if attempt.outcome == Outcome.ACCEPTED else attempt.started_at,
        icon=words.icon,
        tone=words.tone,
        happened=words.happened.format(provider=attempt.provider.name),
        matters=" ".join(filter(None, (limit or matters, consequence))),
        took=milliseconds(attempt.latency_ms) if attempt.latency_ms is not None and limit is None else "",
        said=said_by(attempt.code, attempt.response) if limit is None else "",
        precise=True,
    )


def _saying(attempt: AttemptOut) -> Saying:
    return saying(attempt.outcome, attempt.code, attempt.response)


def _consequence(attempt: AttemptOut, following: AttemptOut | None, message: MessageOut) -> str:
    """What Janus did about it."""
    if attempt.outcome == Outcome.ACCEPTED:
        late = (attempt.finished_at or attempt.started_at) - message.due_at
        return f"It left {exact(late)} after it was due." if late >= _ON_TIME else "It left on time."
    if following is None:
        return "So it counts as sent, and is not sent again." if attempt.evidence is not None else ""
    gap = following.started_at - (attempt.finished_at or attempt.started_at)
    when = "at once" if gap < _AT_ONCE else f"{exact(gap)} later"
    if following.provider.id == attempt.provider.id:
        return (
            f"It was sent once more {when}." if attempt.outcome == Outcome.UNCERTAIN else f"It was tried again {when}."
        )
    return f"This mail went on to {following.provider.name} {when}."


def _now(
    event: EventOut, message: MessageOut, attempts: Sequence[AttemptOut], clock: Clock, aside: Aside
) -> Step | None:
    """Where it is, where no attempt says it already."""
    ended = max((attempt.finished_at for attempt in attempts if attempt.finished_at), default=None)
    match message.state:
        case State.SCHEDULED if (attempts or message.waiting_for) and message.next_try_at is not None:
            return _waits(message, message.next_try_at, clock, aside)
        case State.UNCERTAIN:
            plan = in_doubt(event, aside.resends, message.next_try_at, clock)
            sentence = f"{plan[0].upper()}{plan[1:]}, unless the answer still comes."
            return Step(ended, "uncertain", "warn", "Nobody knows whether it arrived", sentence)
        case State.PARKED:
            at = max(filter(None, (ended, aside.parked_at)))
            doubt = "Nobody can tell from here whether it arrived."
            return Step(at, "parked", "warn", "Your decision", doubt, asks=True)
        case State.FAILED:
            return Step(None, "failed", "bad", "Failed", "No further try is made unless you send it again.")
        case State.CANCELED:
            return Step(None, "canceled", "", "Canceled", "It was called back before it began to leave.")
        case State.EXPIRED:
            return Step(event.expires_at, "expired", "", "Expired", "It was not to be sent later than this.")
        case State.SUPPRESSED:
            why = why_suppressed(message.last_error)
            sentence = f"This address must not be mailed{f': {why}' if why else ''}."
            link = (f"/suppressions?{urlencode({'q': message.recipient})}", "See it on the list")
            listed = link if aside.listed else None
            return Step(aside.parked_at, "suppressed", "", "Suppressed", sentence, link=listed)
    return None


def in_doubt(event: EventOut, resends: int, decided_at: datetime | None, clock: Clock) -> str:
    """What becomes of a mail that may have arrived: «at 08:31:10 it is sent once more»."""
    over = event.expires_at is not None and decided_at is not None and event.expires_at <= decided_at
    again = event.on_uncertain == OnUncertain.RESEND.value and resends == 0 and not over
    when = f"at {clock.at_the_second(decided_at)}" if decided_at is not None and decided_at > clock.now else "now"
    return f"{when} it is {'sent once more, with the same Message-ID' if again else 'parked, and you are asked'}"


def _waits(message: MessageOut, next_try_at: datetime, clock: Clock, aside: Aside) -> Step:
    through = message.provider.name if message.provider is not None else None
    second_copy = aside.resends > 0 and through is not None
    wait = Wait(
        message.waiting_for, next_try_at, [through] if second_copy and through else aside.route, second_copy=second_copy
    )
    at = f", {clock.at_the_second(next_try_at)}" if next_try_at > clock.now else ""
    return Step(None, "clock", "", "Waiting", f"{in_full(wait, clock, met(message.last_error, through))}{at}.")
