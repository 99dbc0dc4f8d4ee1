"""What came back from a service, in words: how far a mail has come, and each thing that happened to it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from janus_mail.events.answers import FeedbackOut
from janus_mail.models.states import DELIVERY_ORDER, FeedbackType, State
from janus_mail.pages.times import Clock, number
from janus_mail.pages.words import STATES, Look, count, listed

_DELIVERED = Look("Delivered", "delivered", "good")
_BOUNCED = Look("Bounced", "bounced", "bad", flips=True)

# In place of «Sent», once more is known.
LOOKS: Mapping[str, Look] = {
    FeedbackType.QUEUED: STATES[State.SENT],
    FeedbackType.SENT: STATES[State.SENT],
    FeedbackType.DEFERRED: STATES[State.SENT],
    FeedbackType.BOUNCED_SOFT: _BOUNCED,
    FeedbackType.DELIVERED: _DELIVERED,
    FeedbackType.OPENED: _DELIVERED,
    FeedbackType.CLICKED: _DELIVERED,
    FeedbackType.UNSUBSCRIBED: _DELIVERED,
    FeedbackType.REJECTED: Look("Not sent on", "failed", "bad"),
    FeedbackType.FAILED: Look("Not sent on", "failed", "bad"),
    FeedbackType.BOUNCED_HARD: _BOUNCED,
    FeedbackType.COMPLAINED: Look("Complaint", "alert", "bad"),
}
# The second line of a message; `{provider}` is its name.
_SHORT: Mapping[str, str] = {
    FeedbackType.QUEUED: "taken by {provider}, which has not sent it on yet",
    FeedbackType.SENT: "sent on by {provider}, no report yet",
    FeedbackType.DEFERRED: "put off by the recipient’s server; {provider} tries again",
    FeedbackType.BOUNCED_SOFT: "came back",
    FeedbackType.OPENED: "opened",
    FeedbackType.CLICKED: "a link was clicked",
    FeedbackType.UNSUBSCRIBED: "asked for no more mail",
    FeedbackType.REJECTED: "taken by {provider}, and then not sent on",
    FeedbackType.FAILED: "taken by {provider}, and then not sent on",
    FeedbackType.BOUNCED_HARD: "came back",
    FeedbackType.COMPLAINED: "the recipient called it spam",
}
_WITH_REASON = frozenset(
    {FeedbackType.BOUNCED_SOFT, FeedbackType.BOUNCED_HARD, FeedbackType.REJECTED, FeedbackType.FAILED}
)
# Icon, tone, what happened, why it matters.
_SAYINGS: Mapping[str, tuple[str, str, str, str]] = {
    FeedbackType.QUEUED: ("clock", "", "{provider} has the mail", "It reports that it will send it on."),
    FeedbackType.SENT: ("sent", "good", "{provider} sent it on", "It reports no more than that so far."),
    FeedbackType.DEFERRED: ("clock", "warn", "The recipient’s server said “later”", "{provider} tries it again."),
    FeedbackType.BOUNCED_SOFT: (
        "bounced", "bad", "It came back", "{provider} gave up. The address may be right all the same.",
    ),
    FeedbackType.DELIVERED: (
        "delivered", "good", "Delivered", "{provider} reports that the recipient’s server accepted it.",
    ),
    FeedbackType.OPENED: ("delivered", "good", "Opened", "{provider} reports it."),
    FeedbackType.CLICKED: ("delivered", "good", "A link was clicked", "{provider} reports it."),
    FeedbackType.UNSUBSCRIBED: (
        "suppressed", "", "The recipient asked for no more mail", "The address is suppressed from now on.",
    ),
    FeedbackType.REJECTED: (
        "failed", "bad", "{provider} would not send it on", "It had taken the mail. Another provider is not asked.",
    ),
    FeedbackType.FAILED: (
        "failed", "bad", "{provider} could not send it on", "It had taken the mail. Another provider is not asked.",
    ),
    FeedbackType.BOUNCED_HARD: (
        "bounced", "bad", "It came back", "{provider} reports that it cannot be delivered there. The address is "
        "suppressed from now on.",
    ),
    FeedbackType.COMPLAINED: (
        "alert", "bad", "The recipient called it spam", "The address is suppressed from now on.",
    ),
    FeedbackType.UNKNOWN: (
        "info", "", "{provider} reported something that Janus has no word for", "It is kept as it came.",
    ),
}  # fmt: skip
_BY_MACHINE = "Perhaps nobody did: some mail programs open every mail."


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of what came back."""

    at: datetime
    icon: str
    tone: str
    happened: str
    matters: str
    said: str


def happenings(feedback: Sequence[FeedbackOut], clock: Clock, *, of_group: bool) -> list[Happening]:
    """In the order in which they happened; opened again and again, or the same link clicked, is one."""
    gathered: dict[tuple[object, ...], list[FeedbackOut]] = {}
    for one in sorted(feedback, key=lambda one: (one.at, _place(one))):
        again = one.type in (FeedbackType.OPENED, FeedbackType.CLICKED)
        same = (one.type, one.provider.id, one.recipient, one.details.get("url")) if again else (one.id,)
        gathered.setdefault(same, []).append(one)
    return [_happening(several, clock, of_group=of_group) for several in gathered.values()]


def delivery_note(status: str | None, provider: str | None, reason: str | None, *, heard: bool) -> str:
    """The second line of a sent message; `heard`: its provider posts feedback, so something may come yet."""
    if status is None:
        return f"taken by {provider}, no report yet" if heard and provider else ""
    short = _SHORT.get(status, "").format(provider=provider or "its provider")
    return f"{short}: {reason}" if reason and status in _WITH_REASON else short


def reports(many: Mapping[str | None, int]) -> str:
    """What came back of an event's sent mails, by delivery status, in a sentence: «Of 3 mails sent, 2 were delivered
    and 1 came back.»"""
    looks: dict[str, int] = {}
    for status, messages in many.items():
        if status is not None and LOOKS[status] != STATES[State.SENT]:
            looks[LOOKS[status].word] = looks.get(LOOKS[status].word, 0) + messages
    words = {"Delivered": "delivered", "Bounced": "came back", "Not sent on": "not sent on", "Complaint": "called spam"}
    said = [
        f"{number(looks[word])} {('was ' if looks[word] == 1 else 'were ') if verb != 'came back' else ''}{verb}"
        for word, verb in words.items() if word in looks
    ]  # fmt: skip
    return f"Of {count(sum(many.values()), 'mail')} sent, {listed(said)}." if said else ""


def _happening(several: Sequence[FeedbackOut], clock: Clock, *, of_group: bool) -> Happening:
    first, last = several[0], several[-1]
    icon, tone, happened, matters = _SAYINGS[first.type]
    matters = matters.format(provider=first.provider.name)
    server = first.details.get("server")
    if first.type is FeedbackType.DELIVERED and isinstance(server, str):
        matters = f"{first.provider.name} reports that the recipient’s server, {server}, accepted it."
    if first.details.get("machine") is True:
        matters += f" {_BY_MACHINE}"
    if len(several) > 1:
        matters += f" {number(len(several))} times in all, the last at {clock.at_the_second(last.at)}."
    whom = f" for {first.recipient}" if of_group and first.recipient else ""
    url = first.details.get("url")
    said = url if first.type is FeedbackType.CLICKED and isinstance(url, str) else first.reason
    return Happening(first.at, icon, tone, happened.format(provider=first.provider.name) + whom, matters, said or "")


def _place(one: FeedbackOut) -> int:
    """Services tell the time in whole seconds: of one second what comes first is what must."""
    return DELIVERY_ORDER.index(one.type) if one.type in DELIVERY_ORDER else len(DELIVERY_ORDER)
