"""What the page of one provider says: of its credentials, and of a test mail."""

from collections.abc import Mapping
from dataclasses import dataclass

from janus_mail.models.states import State
from janus_mail.pages.words import Look, said_by, saying, saying_when_asked
from janus_mail.providers.outcomes import Outcome
from janus_mail.routing.schemas import Provider, ProviderTested, Verification

# What a person can do about it; `{to}` and `{provider}` are named.
_NEXT: Mapping[str, str] = {
    Outcome.ACCEPTED: "Look for it in the mailbox of {to}, among the spam too. What {provider} makes of it later shows "
    "in its event.",
    Outcome.RECIPIENT_DEFERRED: "Nothing is wrong with {provider}. Try again in a while, or another address.",
    Outcome.THROTTLED: "It works, but takes no more just now. Wait a while, and give it a lower rate if that goes on.",
    Outcome.PROVIDER_DOWN: "Check server, port and security in its settings, and whether this machine may connect to "
    "it. If they are right, its own status page may say more.",
    Outcome.PROVIDER_BROKEN: "Put its credentials or its settings right, or verify the sender there; then send another "
    "test.",
    Outcome.RECIPIENT_REJECTED: "{provider} works: it is the address that is refused. Try another one.",
    Outcome.MESSAGE_REJECTED: "What it said tells which part of the mail it does not like; often it is the sender.",
    Outcome.POLICY_REJECTED: "It takes our mail, but not this one. What it said tells which rule it is.",
    Outcome.UNCERTAIN: "Look into the mailbox of {to}: it may be there. Nothing is sent again by itself.",
}
_CAUGHT = "Nothing left this machine: it lies in the mailbox of this server."


@dataclass(frozen=True, slots=True)
class Checked:
    """How its service answered when it was asked about the credentials."""

    look: Look
    sentence: str
    said: str


@dataclass(frozen=True, slots=True)
class Tested:
    """How a test mail ended."""

    look: Look
    matters: str
    next: str
    said: str
    may_edit: bool  # putting the settings right may help


def checked(provider: Provider) -> Checked | None:
    """None where nobody asked, or a sandbox knows everybody anyway."""
    answer: Verification | None = provider.verification
    if answer is None or (provider.sandbox and answer.ok):
        return None
    said = said_by(answer.code, answer.response)
    if answer.ok:
        return Checked(Look("Credentials accepted", "closed", "good"), f"{provider.name} knows us.", said)
    words = saying_when_asked(answer.outcome, answer.code, answer.response)
    happened = words.happened.format(provider=provider.name)
    return Checked(Look(happened, words.icon, words.tone), words.matters.format(provider=provider.name), said)


def saved(provider: Provider, unspoken: str) -> str:
    """What a form that saved it says, by its name in `flash`; `unspoken` where nobody was asked."""
    answer = provider.verification
    if answer is None or checked(provider) is None:
        return unspoken
    if answer.ok:
        return "provider_works"
    return "provider_fails" if answer.outcome is Outcome.PROVIDER_BROKEN else "provider_unasked"


def tested(test: ProviderTested, *, caught: bool) -> Tested:
    """The same of a test mail; `caught`: it lies in the mailbox."""
    name = test.provider.name
    words = saying(test.outcome, test.code, test.response)
    following = "" if test.outcome is None else _NEXT[test.outcome].format(to=test.to, provider=name)
    if caught:
        following = _CAUGHT
    if test.state is State.PARKED:
        following += " It is parked until you say what became of it."
    return Tested(
        look=Look(words.happened.format(provider=name), words.icon, words.tone),
        matters=words.matters.format(provider=name),
        next=following or "Load this page again in a moment.",
        said=said_by(test.code, test.response),
        may_edit=test.outcome in (Outcome.PROVIDER_BROKEN, Outcome.PROVIDER_DOWN),
    )
