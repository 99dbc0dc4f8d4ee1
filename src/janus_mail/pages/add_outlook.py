"""«What will happen»: what the form of `/add` says so far, in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from janus_mail.availability.provider_book import ConfiguredProvider
from janus_mail.content.addresses import Mailbox
from janus_mail.content.compose import Content, Letter, message_id
from janus_mail.content.files import encoded_size
from janus_mail.delivery.route import Wish
from janus_mail.events.rows import NewEvent
from janus_mail.models.states import SendAs
from janus_mail.pages.add_check import ReadRecipients, Understood
from janus_mail.pages.event_letter import NO_SENDER, sender_among
from janus_mail.pages.times import Clock, city, exact, zone_named
from janus_mail.pages.words import count

_AT_ONCE = timedelta(seconds=1)
_PART_OCTETS = 200  # of a file's headers and boundary


@dataclass(frozen=True, slots=True)
class Outlook:
    """The side panel. `leaves` is empty while there is no time, `octets` zero while there is nothing to weigh."""

    leaves: str
    place: str
    utc: str
    leaves_sentence: str
    to: str
    to_put_right: str
    octets: int
    many: bool
    warnings: Sequence[str]


def outlook(
    understood: Understood, read: ReadRecipients, providers: Sequence[ConfiguredProvider], clock: Clock, zone: str
) -> Outlook:
    """`zone` is the one that is chosen in the form."""
    new = understood.new
    there = clock.seen_from(zone_named(zone) or clock.zone)
    wish = wish_of(understood)
    leaves = _leaves(new, there) if new and "expected_sent_at" not in understood.wrong else ("", "", "", "")
    group = new is not None and new.row.send_as == SendAs.GROUP
    people = count(len(read.good), "person", "people")
    to = people if len(read.good) == 1 else f"{people}, one mail {'to all' if group else 'each'}"
    return Outlook(
        *leaves,
        to=to if read.good else "nobody yet",
        to_put_right=f"{count(len(read.bad), 'address', 'addresses')} to put right" if read.bad else "",
        octets=_octets(new, providers, wish, clock) if new and "email_content" not in understood.wrong else 0,
        many=len(read.good) > 1 and not group,
        warnings=[there.retold(w) for w in new.row.warnings] if new and not understood.wrong else (),
    )


def wish_of(understood: Understood) -> Wish:
    """What the form says so far about the route."""
    row = understood.new.row if understood.new else None
    return Wish(row.provider_id, row.failover, row.from_email) if row else Wish(None, True, None)


def _leaves(new: NewEvent, clock: Clock) -> tuple[str, str, str, str]:
    """When, where that is, the same in UTC, and all of it in a sentence."""
    at = new.row.expected_sent_at
    place = city(clock.zone.key)
    if at < clock.now + _AT_ONCE:
        return "At once", "", "", "It leaves at once."
    ahead = exact(at - clock.now)
    utc = "" if place == "UTC" else f"{clock.in_utc(at)} UTC, "
    return clock.spelled_out(at), place, f"{utc}in {ahead}", f"{clock.spelled_out(at)} in {place}: in {ahead}."


def _octets(new: NewEvent, providers: Sequence[ConfiguredProvider], wish: Wish, clock: Clock) -> int:
    """Of the first mail, as it would leave; with files about so many."""
    row, first = new.row, new.messages[0]
    reply_to = tuple(Mailbox(to["email"], to["name"]) for to in row.reply_to)
    sender = sender_among(providers, wish, row.from_name) or NO_SENDER
    letter = Letter(
        Content(row.subject, row.text, row.html, reply_to, tuple(row.headers.items())), sender, boundary_seed=row.id.hex
    )
    composed = letter.compose(
        to=[Mailbox(first.recipient, first.recipient_name)], variables=first.variables,
        message_id=message_id(first.id.hex, sender.domain), date=clock.now,
    )  # fmt: skip
    return len(composed.content) + sum(_PART_OCTETS + encoded_size(len(file.content)) for file in new.files)
