"""The audit log in sentences: «ann@example.com changed the provider “SendGrid”: rate_per_second 10 → 50»."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from janus_mail.oversight.schemas import AuditEntryOut

# {} is the object's name in quotes, with a space before it, or nothing. What is not here is said by `_by_its_name`.
DID: Final[Mapping[str, str]] = {
    "account.changed": "changed the account{}",
    "account.confirmed": "confirmed the address of the account{}",
    "account.disabled": "disabled the account{}",
    "account.enabled": "enabled the account{} again",
    "account.made": "made the account{}",
    "account.registered": "made the account{}",
    "account.renamed": "changed their name",
    "audit.exported": "exported the audit log",
    "circuit.closed": "took the provider{} back into use",
    "circuit.opened": "stopped using the provider{}",
    "email.change_asked": "asked for another address",
    "email.changed": "changed the address of the account{}",
    "event.canceled": "canceled an event",
    "event.changed": "changed an event",
    "event.retried": "sent an event again",
    "event.sent_now": "sent an event ahead of its time",
    "events.canceled": "canceled all events that fit a filter",
    "invitation.made": "invited{}",
    "invitation.withdrawn": "withdrew the invitation of{}",
    "key.changed": "changed the API key{}",
    "key.created": "made the API key{}",
    "key.revoked": "revoked the API key{}",
    "key.rotated": "rotated the API key{}",
    "mailbox.emptied": "emptied the mailbox",
    "member.added": "added the member{}",
    "member.joined": "joined the workspace",
    "member.left": "left the workspace",
    "member.removed": "removed the member{}",
    "member.role_changed": "changed the role of{}",
    "message.resolved": "said what became of a parked mail",
    "password.changed": "changed the password",
    "password.link_made": "made a link that sets a new password for{}",
    "password.reset": "set a new password",
    "password.reset_asked": "asked for a new password for{}",
    "person.erased": "erased a person",
    "provider.changed": "changed the provider{}",
    "provider.created": "added the provider{}",
    "provider.hook_renewed": "made a new hook address for the provider{}",
    "provider.removed": "removed the provider{}",
    "provider.tested": "sent a test mail through the provider{}",
    "recipient.erased": "erased a recipient, from now on{}",
    "recipient.mail_canceled": "canceled what waited for a recipient who is being erased",
    "route.reordered": "put the route in another order",
    "secrets.rotated": "sealed the settings of all providers with the newest key",
    "second_factor.codes_renewed": "made new recovery codes",
    "second_factor.switched_off": "switched the second factor of{} off",
    "second_factor.switched_on": "switched the second factor on",
    "session.begun": "signed in",
    "session.ended": "signed out",
    "session.refused": "was not let in",
    "session.revoked": "ended a session of{}",
    "sessions.ended": "signed{} out everywhere",
    "suppression.removed": "took{} off the suppressions",
    "suppressions.added": "put addresses on the suppressions",
    "suppressions.exported": "exported the suppressions",
    "suppressions.imported": "imported suppressions",
    "tokens.begun": "signed in with a program",
    "tokens.reused": "used a token of a program twice: it was signed out",
    "tokens.revoked": "signed a program out",
    "workspace.changed": "changed the workspace",
    "workspace.created": "made the workspace{}",
    "workspace.deleted": "deleted the workspace{}",
    "workspace.paused": "paused all sending",
    "workspace.resumed": "resumed sending",
}
# What people do to themselves, where that reads otherwise.
DID_TO_ONESELF: Final[Mapping[str, str]] = {
    "account.confirmed": "confirmed their address",
    "account.made": "made their account",
    "account.registered": "made their account",
    "email.changed": "changed their address",
    "member.added": "became a member",
    "second_factor.switched_off": "switched the second factor off",
    "session.revoked": "ended a session of their own",
    "sessions.ended": "signed out everywhere",
}
_MOST_IN_A_SENTENCE: Final = 60  # characters of a value; the table has all of it
_NONE: Final = "none"


@dataclass(frozen=True, slots=True)
class Field:
    """One line of the table."""

    name: str
    before: str
    after: str


def did(entry: AuditEntryOut) -> str:
    """What was done, in words that follow who did it; what changed, where it is a single thing."""
    sentence = _sentence(entry)
    fields = changes(entry)
    if len(fields) == 1 and entry.before and entry.after:
        only = fields[0]
        if max(len(only.before), len(only.after)) <= _MOST_IN_A_SENTENCE:
            return f"{sentence}: {only.name} {only.before} → {only.after}"
    return sentence


def changes(entry: AuditEntryOut) -> list[Field]:
    """Field by field, as it was and as it is."""
    before, after = entry.before or {}, entry.after or {}
    return [Field(name, _said(before.get(name)), _said(after.get(name))) for name in {**before, **after}]


def _sentence(entry: AuditEntryOut) -> str:
    actor, thing = entry.actor, entry.object
    if entry.action in DID_TO_ONESELF and (thing.name == actor.label or thing.id == actor.id is not None):
        return DID_TO_ONESELF[entry.action]
    name = f" “{thing.name}”" if thing.name else ""
    return DID[entry.action].format(name) if entry.action in DID else _by_its_name(entry, name)


def _by_its_name(entry: AuditEntryOut, name: str) -> str:
    """«tokens.reused» → «tokens: reused»."""
    thing, _, verb = entry.action.partition(".")
    return f"{thing.replace('_', ' ')}{name}: {verb.replace('_', ' ')}"


def _said(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return _NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_said(one) for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {_said(one)}" for name, one in value.items())
    return str(value)
