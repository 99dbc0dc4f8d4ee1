"""What a form has just done, said once on the page that follows: name and numbers in a cookie, the words from here."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Self

from janus_mail.pages.times import number
from janus_mail.pages.words import count

_WRITTEN = re.compile(r"([a-z_]{1,40})((?:\.[0-9]{1,9}){0,2})")


def _canceled(canceled: int, too_late: int) -> str:
    if not canceled:
        return "Nothing was canceled: it was too late."
    late = f" For {count(too_late, 'email')} it was too late." if too_late else ""
    return f"{count(canceled, 'email')} canceled.{late}"


def _sent_now(many: int) -> str:
    return f"{count(many, 'email')} {'goes' if many == 1 else 'go'} out now." if many else "Nothing waits any more."


def _retried(many: int) -> str:
    return f"{count(many, 'email')} {'goes' if many == 1 else 'go'} out again." if many else "Nothing has failed."


def _resumed(due: int) -> str:
    now = f": {count(due, 'mail')} {'is' if due == 1 else 'are'} due now" if due else ""
    return f"Sending goes on{now}."


def _suppressed(added: int, known: int) -> str:
    there = f"{'It was' if known == 1 else number(known) + ' were'} there already." if known else ""
    if not added:
        return there
    gets = "it gets no mail" if added == 1 else "they get no mail"
    return f"{count(added, 'address', 'addresses')} added: {gets} from now on. {there}".rstrip()


def _erased(rows: int, canceled: int) -> str:
    before = (
        f" {count(canceled, 'email')} that waited {'was' if canceled == 1 else 'were'} canceled." if canceled else ""
    )
    return f"Erased: {count(rows, 'row')} changed or removed.{before}"


_SENTENCES: Mapping[str, Callable[..., str]] = {
    "scheduled": lambda: "Scheduled. You can cancel it until it begins to leave.",
    "canceled": _canceled,
    "sent_now": _sent_now,
    "retried": _retried,
    "resolved_sent": lambda: "Noted: it arrived.",
    "resolved_resend": lambda: "It goes out once more.",
    "resolved_failed": lambda: "Given up.",
    "mailbox_emptied": lambda many: f"{count(many, 'caught mail')} deleted.",
    "dial_turned": lambda: "The dial is turned; the next mail finds it so.",
    "moved": lambda: "The route has its new order.",
    "switched_on": lambda: "Switched on.",
    "switched_off": lambda: "Switched off: it is left out of the route.",
    "limited": lambda: "The limits are saved.",
    "provider_added": lambda: "Added, last in the route.",
    "provider_saved": lambda: "Saved.",
    "provider_works": lambda: "Saved, and its service knows the credentials.",
    "provider_fails": lambda: "Saved, but its service did not take the credentials: see there.",
    "provider_unasked": lambda: "Saved. Its service could not be asked: see there why.",
    "hook_renewed": lambda: "The address is a new one: give it to the service.",
    "provider_removed": lambda: "Removed. What waited for it goes through the others.",
    "asked": lambda: "Asked: the answer stands under “Credentials”.",
    "no_way_to_ask": lambda: "This service offers no way to ask. A test mail shows whether it works.",
    "stopped": lambda: "Stopped: from the next mail on it is not asked.",
    "used_again": lambda: "It is used again, from the next mail on.",
    "resumed": _resumed,
    "suppressed": _suppressed,
    "imported_in_part": lambda added, left_out: (
        f"{count(added, 'address', 'addresses')} added; {count(left_out, 'line')} left out."
    ),
    "unsuppressed": lambda: "Taken off the list: it gets mail again.",
    "erased": _erased,
    "workspace_made": lambda: "The workspace is yours. Add a provider next, and mail can leave.",
    "workspace_saved": lambda: "The settings are saved.",
    "workspace_deleted": lambda: "The workspace is deleted.",
    "left": lambda: "You have left the workspace.",
    "joined": lambda: "You are in.",
    "invited": lambda: "The invitation is on its way.",
    "invitation_withdrawn": lambda: "The invitation is withdrawn: its link opens nothing any more.",
    "role_changed": lambda: "The role is changed, from their next click on.",
    "member_removed": lambda: "They are out, at once.",
    "key_revoked": lambda: "The key is revoked: it is refused from now on.",
    "sandboxes_added": lambda: "Three sandboxes are in the route: what they take lies in the mailbox.",
    "account_renamed": lambda: "Your name is changed.",
    "email_asked": lambda: "A link is on its way to the new address. Until it is followed, nothing changes.",
    "email_link_logged": lambda: "No mail is set up here: the link is in the log of this server.",
    "password_changed": lambda: "The password is changed. Everything else is signed out.",
    "second_factor_off": lambda: "The second factor is off.",
    "session_ended": lambda: "That browser is signed out.",
    "sessions_ended": lambda many: f"{count(many, 'browser')} signed out.",
    "program_ended": lambda: "That program is signed out.",
    "person_changed": lambda: "Done, and noted in the audit log.",
    "quotas_set": lambda: "The quotas are set; they hold from the next mail on.",
    "nothing_changed": lambda: "Nothing was changed: it is no longer as this page showed it.",
}
# What is no success: a colour and a shape.
_TONES: Mapping[str, tuple[str, str]] = {
    "provider_fails": ("bad", "alert"),
    "provider_unasked": ("warn", "alert"),
    "nothing_changed": ("warn", "alert"),
}


@dataclass(frozen=True, slots=True)
class Flash:
    """One thing that was done, by a name of `_SENTENCES` and its numbers."""

    name: str
    numbers: tuple[int, ...] = ()

    @classmethod
    def read(cls, cookie: str | None) -> Self | None:
        """None for a cookie that says nothing we know."""
        match = _WRITTEN.fullmatch(cookie or "")
        if match is None or match[1] not in _SENTENCES:
            return None
        numbers = tuple(int(part) for part in match[2].split(".") if part)
        return cls(match[1], numbers) if len(numbers) == len(signature(_SENTENCES[match[1]]).parameters) else None

    def written(self) -> str:
        return ".".join([self.name, *map(str, self.numbers)])

    @property
    def sentence(self) -> str:
        return _SENTENCES[self.name](*self.numbers)

    @property
    def tone(self) -> str:
        return _TONES.get(self.name, ("good", "sent"))[0]

    @property
    def icon(self) -> str:
        return _TONES.get(self.name, ("good", "sent"))[1]
