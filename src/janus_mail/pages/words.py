"""What the pages say, as data: a word and a shape for each state, sentences for each way that a try can end."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from janus_mail.models.states import EventStatus, OnUncertain, State, SuppressionReason
from janus_mail.pages.refusal_words import REFUSALS, REFUSALS_BY_TEXT
from janus_mail.pages.times import number
from janus_mail.providers.outcomes import Outcome
from janus_mail.providers.sandbox import SandboxMode


@dataclass(frozen=True, slots=True)
class Look:
    """How a state shows: the word, an icon of the sprite, the tone of its colour. `flips` where text runs leftwards."""

    word: str
    icon: str
    tone: str = ""
    flips: bool = False


WAITING = Look("Waiting", "clock")
STATES: Mapping[str, Look] = {
    State.SCHEDULED: Look("Scheduled", "clock"),
    State.LEASED: Look("Leased", "leased"),
    State.SENDING: Look("Sending", "sending", "active", flips=True),
    State.SENT: Look("Sent", "sent", "good"),
    State.FAILED: Look("Failed", "failed", "bad"),
    State.UNCERTAIN: Look("Uncertain", "uncertain", "warn"),
    State.PARKED: Look("Parked", "parked", "warn"),
    State.CANCELED: Look("Canceled", "canceled", "over"),
    State.EXPIRED: Look("Expired", "expired", "over"),
    State.SUPPRESSED: Look("Suppressed", "suppressed", "over"),
}
STATUSES: Mapping[str, Look] = {
    EventStatus.PENDING: Look("Pending", "clock"),
    EventStatus.SENDING: STATES[State.SENDING],
    EventStatus.SENT: STATES[State.SENT],
    EventStatus.PARTLY_SENT: Look("Partly sent", "partly", "warn"),
    EventStatus.FAILED: STATES[State.FAILED],
    EventStatus.PARKED: STATES[State.PARKED],
    EventStatus.CANCELED: STATES[State.CANCELED],
    EventStatus.EXPIRED: STATES[State.EXPIRED],
    EventStatus.SUPPRESSED: STATES[State.SUPPRESSED],
}

REASONS: Mapping[str, str] = {
    SuppressionReason.HARD_BOUNCE: "Hard bounce",
    SuppressionReason.COMPLAINT: "Complaint",
    SuppressionReason.UNSUBSCRIBE: "Unsubscribe",
    SuppressionReason.MANUAL: "By hand",
}
ON_UNCERTAIN: Mapping[str, str] = {OnUncertain.RESEND: "Send once more", OnUncertain.PARK: "Ask me"}
ORDINALS = ("First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth", "Ninth", "Tenth")

# A place of the dial: its name, what it means, and whether the mail goes on to another provider.
DIAL: Mapping[str, tuple[str, str, bool]] = {
    SandboxMode.OK: ("Works", "each mail is caught and lies in the mailbox", False),
    SandboxMode.DOWN: ("Down", "each mail is answered “service not available”", True),
    SandboxMode.SLOW: ("Slow", "each mail is caught after five seconds", False),
    SandboxMode.THROTTLED: ("Throttled", "each mail is answered “slow down, 30 s”", True),
    SandboxMode.BROKEN_CREDENTIALS: ("Key refused", "each sign-in is refused", True),
    SandboxMode.CUT_OFF: (
        "Cut off after the body",
        "the line is cut after each mail, and nobody knows whether it arrived",
        False,
    ),
}


@dataclass(frozen=True, slots=True)
class Saying:
    """How a try ended: what happened, why it matters, and `short` for second lines. `{provider}` is its name then."""

    happened: str
    matters: str
    short: str
    icon: str
    tone: str


_OURS = r"^(?!\d{3}\b)\w"  # a code of ours, such as too_large, is a word; those of services begin with three digits
_LIMITS: Mapping[str, str] = {  # where the code comes without a sentence
    "too_large": "It takes no mail as large as this one.",
    "smtputf8_not_offered": "It takes no address with letters beyond ASCII before the @.",
    "8bitmime_not_offered": "It takes ASCII alone.",
}

# By outcome: icon, tone, and a row for each code, matched at the start of a word. The first that fits is said.
_ROWS: Mapping[str, tuple[str, str, tuple[tuple[str, str, str, str], ...]]] = {
    Outcome.ACCEPTED: ("sent", "good", (("", "{provider} took the mail", "", "took the mail"),)),
    Outcome.THROTTLED: (
        "slow",
        "warn",
        (
            (
                "",
                "{provider} asked us to slow down",
                "We were above its sending rate, so it rests for a while.",
                "asked us to slow down",
            ),
        ),
    ),
    Outcome.PROVIDER_DOWN: (
        "open",
        "warn",
        (
            (
                "connection_refused|connect_failed",
                "{provider} could not be reached",
                "Nothing answers at its address.",
                "could not be reached",
            ),
            (
                "host_not_found",
                "{provider} could not be found",
                "Its host name has no address. Is it spelled right?",
                "could not be found",
            ),
            (
                "timeout",
                "{provider} did not answer in time",
                "The mail was not complete yet, so it has not left.",
                "did not answer in time",
            ),
            (
                "tls_failed",
                "No safe connection to {provider}",
                "The encryption could not be agreed on, and Janus does not send without it.",
                "no safe connection",
            ),
            (
                "pool_timeout",
                "{provider} was busy with our other mail",
                "No connection came free in time.",
                "no connection came free",
            ),
            (
                "disconnected|reset|closed",
                "{provider} cut the line",
                "The mail was not complete yet, so it has not left.",
                "cut the line",
            ),
            (
                "bad_reply|out_of_step|reply_too_long",
                "{provider} gave an answer that made no sense",
                "It counts as down.",
                "made no sense",
            ),
            ("", "{provider} could not take it", "It said so itself.", "could not take it"),
        ),
    ),
    Outcome.PROVIDER_BROKEN: ("key", "bad", REFUSALS),
    Outcome.RECIPIENT_DEFERRED: (
        "clock",
        "warn",
        (
            (r"[45]\.2\.2", "The recipient’s mailbox was full", "It may be emptied.", "mailbox full"),
            (
                "",
                "The recipient’s server said “later”",
                "Many servers do so with a sender they do not know yet.",
                "the recipient’s server said “later”",
            ),
        ),
    ),
    Outcome.RECIPIENT_REJECTED: (
        "failed",
        "bad",
        (
            (
                r"5\.1\.(2|10)",
                "The recipient’s domain takes no mail",
                "Another provider would be refused too.",
                "no such domain",
            ),
            (
                r"5\.2\.[12]",
                "The recipient’s mailbox is closed",
                "Another provider would be refused too.",
                "mailbox closed",
            ),
            ("", "There is no such mailbox", "Another provider would be refused too.", "no such mailbox"),
        ),
    ),
    Outcome.MESSAGE_REJECTED: (
        "failed",
        "bad",
        (
            (
                "",
                "{provider} refused the content",
                "It is about this mail, not about its recipient.",
                "content refused",
            ),
        ),
    ),
    Outcome.POLICY_REJECTED: (
        "failed",
        "bad",
        (
            (
                _OURS,
                "Passed over: {provider} cannot carry this mail",
                "It was not asked.",
                "cannot carry this mail",
            ),
            (
                r"5\.3\.4|5\.2\.3",
                "The mail was too large for {provider}",
                "Others may take more.",
                "too large",
            ),
            (
                r"5\.6\.7",
                "{provider} could not mail an address in this script",
                "Others may be able to.",
                "address in a script it cannot mail",
            ),
            (
                "",
                "{provider} refused it by its rules",
                "Other providers may have other rules.",
                "refused by its rules",
            ),
        ),
    ),
    Outcome.UNCERTAIN: (
        "uncertain",
        "warn",
        (
            (
                "disconnected|reset|closed",
                "The line to {provider} was cut after the mail had left",
                "It may have arrived: nobody knows.",
                "the line was cut after the mail had left",
            ),
            (
                "timeout",
                "{provider} did not answer after the mail had left",
                "It may have arrived: nobody knows.",
                "no answer after the mail had left",
            ),
            (
                "lease_expired",
                "Our worker stopped while {provider} had the mail",
                "It may have arrived: nobody knows.",
                "our worker stopped while the mail was leaving",
            ),
            ("", "Nobody knows whether {provider} has the mail", "It may have arrived.", "may have left"),
        ),
    ),
}
SAYINGS: Mapping[str, tuple[tuple[re.Pattern[str], Saying], ...]] = {
    outcome: tuple(
        (re.compile(rf"(?<![\w.])(?:{code})"), Saying(happened, matters, short, icon, tone))
        for code, happened, matters, short in rows
    )
    for outcome, (icon, tone, rows) in _ROWS.items()
}
UNDER_WAY = Saying("{provider} is taking the mail", "It has not answered yet.", "under way", "sending", "active")

PASSED_ON = frozenset(
    {
        Outcome.THROTTLED,
        Outcome.PROVIDER_DOWN,
        Outcome.PROVIDER_BROKEN,
        Outcome.RECIPIENT_DEFERRED,
        Outcome.POLICY_REJECTED,
    }
)
REFUSED = frozenset({Outcome.RECIPIENT_REJECTED, Outcome.MESSAGE_REJECTED})


def saying(outcome: str | None, code: str | None, response: str | None = None) -> Saying:
    """The sentences for an attempt's outcome and code, or what was said where the code tells too little; one that is
    still open is under way."""
    if outcome is None:
        return UNDER_WAY
    if outcome == Outcome.PROVIDER_BROKEN and response:
        by_text = next((row for text, row in REFUSALS_BY_TEXT if text.search(response)), None)
        if by_text is not None:
            return Saying(*by_text, "key", "bad")
    return next(words for code_fits, words in SAYINGS[outcome] if code_fits.search(code or ""))


def passed_over(outcome: str | None, code: str | None, response: str | None) -> str | None:
    """Why a mail was not even offered to a provider, as a sentence; null where it was."""
    if outcome != Outcome.POLICY_REJECTED or not re.match(_OURS, code or ""):
        return None
    told = response or ""
    return told if told.endswith(".") else _LIMITS.get(code or "", "It was not asked.")


def saying_when_asked(outcome: str, code: str | None, response: str | None = None) -> Saying:
    """The same of a check of credentials, with which no mail goes."""
    words = saying(outcome, code, response)
    if outcome == Outcome.PROVIDER_BROKEN:
        refused = "{provider} refused us", "Its account or its settings have to be put right.", "refused us"
        return Saying(*refused, words.icon, words.tone) if words.short == "took none of our mail" else words
    if outcome == Outcome.PROVIDER_DOWN:
        happened, short = (part.replace("take it", "answer") for part in (words.happened, words.short))
        return replace(words, happened=happened, matters="" if "mail" in words.matters else words.matters, short=short)
    if outcome in (Outcome.ACCEPTED, Outcome.THROTTLED):
        return words
    return Saying("{provider} gave an answer that made no sense", "", "made no sense", "open", "warn")


def said_by(code: str | None, response: str | None) -> str:
    """What the server said, word for word, behind its code where that is a number it does not repeat."""
    code, response = code or "", response or ""
    basic = code.split(" ")[0]
    return response if response.startswith(basic) or not basic.isdigit() else f"{basic} {response}".rstrip()


def met(error: str | None, provider: str | None) -> str:
    """A message's `last_error` as a sentence with its subject: «Amazon SES could not take it»."""
    outcome, _, rest = (error or "").partition(": ")
    if outcome not in SAYINGS or provider is None:
        return ""
    return saying(outcome, *_parted(rest)).happened.format(provider=provider)


def explain(error: str | None) -> tuple[str, str]:
    """A message's `last_error` («recipient_rejected: 550 5.1.1 User unknown») as (short words, what was said)."""
    if not error:
        return "", ""
    outcome, _, rest = error.partition(": ")
    if outcome not in SAYINGS:
        return error, ""
    code, _, response = rest.partition(" ")
    if (why := passed_over(outcome, code, response)) is not None:
        return saying(outcome, code).short, why
    # «550 5.1.1» is the code, and most replies begin with its second half.
    said = re.sub(r"^(\d{3}) (\d\.\d+\.\d+) \2\b", r"\1 \2", rest)
    return saying(outcome, *_parted(rest)).short, said


def _parted(rest: str) -> tuple[str, str]:
    """What may be the code, and what was said."""
    return " ".join(rest.split()[:2]), rest


def why_suppressed(error: str | None) -> str:
    """A suppressed message's `last_error` («suppressed: hard bounce, told by SendGrid on 2026-11-21») without its
    first word."""
    kind, _, why = (error or "").partition(": ")
    return why if kind == "suppressed" else ""


def by_whom(created_by: str | None) -> str:
    """«API key ci»; who came without a key is somebody here."""
    return created_by if created_by and created_by != "anonymous" else "somebody on this machine"


def count(many: int, thing: str, things: str | None = None) -> str:
    """«1 email», «12 emails»."""
    return f"{number(many)} {thing if many == 1 else things or thing + 's'}"


def listed(parts: Sequence[str]) -> str:
    """«a», «a and b», «a, b and c»."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def shortened(text: str, most: int = 120) -> str:
    """For titles and lists: a subject may have 998 characters."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
