"""Whether the services of an event's route can carry it: refused where none can, told where some cannot. Pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from janus_mail.content.addresses import Mailbox
from janus_mail.errors import Detail, InvalidInput
from janus_mail.events.rows import EventRow
from janus_mail.models.states import SendAs
from janus_mail.providers.contract import Address
from janus_mail.providers.limits import Asked, AskedFile, Limits, Unfit, octets_of
from janus_mail.providers.registry import KINDS

_MOST_NAMED = 10
_NO_LIMITS = Limits(utf8_mailboxes=True)
_NAME_FOR_ALL = min(kind.limits.name_length for kind in KINDS.values() if kind.limits.name_length is not None)


class Stop(NamedTuple):
    """A provider of the route, as far as limits are about it."""

    name: str
    kind: str


def asked_of(row: EventRow, people: Iterable[Mailbox]) -> Asked | None:
    """What the event asks of a service, to whomever of `people`; None where every service can carry it."""
    utf8, longest_name = not (row.from_email or "").isascii(), len(row.from_name or "")
    for one in people:
        utf8 = utf8 or not one.address.isascii()
        longest_name = max(longest_name, len(one.name or ""))
    group = row.send_as == SendAs.GROUP
    long = longest_name > _NAME_FOR_ALL
    if not (utf8 or group or long or row.attachments or row.headers or row.tags or row.metadata or row.reply_to):
        return None
    reply_to = [Address(to["email"], to["name"]) for to in row.reply_to]
    return Asked(
        recipients=row.recipients_count if group else 1,
        octets=sum(len(text.encode()) for text in (row.subject, row.text or "", row.html or "")),
        files=[
            AskedFile(file["filename"], file["content_type"], file["size"],
                      file["content_id"] if row.html is not None else None)
            for file in row.attachments
        ],
        reply_to=len(reply_to), reply_to_octets=octets_of(reply_to), headers=row.headers, tags=row.tags,
        longest_name=max(longest_name, *(len(to.name or "") for to in reply_to), 0), metadata=row.metadata,
        utf8_mailboxes=utf8 or not all(to.email.isascii() for to in reply_to),
    )  # fmt: skip


def check_limits(asked: Asked, route: Sequence[Stop]) -> list[str]:
    """Who of the route leaves out what, in words.

    Raises InvalidInput with the code of what is in the way where no provider can carry it, and `too_many_recipients`
    where one cannot take a group of this size: a group is never cut in pieces.
    """
    if not route:
        return []
    _check_group_size(asked.recipients, route)
    unfit = [(stop.name, found) for stop in route if (found := _limits(stop).against(asked)) is not None]
    if len(unfit) == len(route):
        alike = list(_alike(unfit).items())[:_MOST_NAMED]
        reasons = "; ".join(f"{_listed(names)}: {found.sentence}" for found, names in alike)
        raise InvalidInput(
            f"No provider of its route can carry this email. {reasons}.",
            code=unfit[0][1].code,
            details=[Detail(found.field, f"{_listed(names)}: {found.sentence}.") for found, names in alike],
        )
    cannot = {name for name, _ in unfit}
    warnings = _routed_around(unfit)
    names_by_loss: dict[str, list[str]] = {}
    for stop in route:
        behind = [] if stop.name in cannot else _limits(stop).left_behind(asked)
        if behind:
            names_by_loss.setdefault(_listed(behind), []).append(stop.name)
    for lost, names in names_by_loss.items():
        warnings.append(f"{_listed(names)} {'does' if len(names) == 1 else 'do'} not carry {lost}, which Janus keeps.")
    return warnings


def _alike(unfit: Sequence[tuple[str, Unfit]]) -> dict[Unfit, list[str]]:
    """Who has the same reason, by it."""
    names: dict[Unfit, list[str]] = {}
    for name, found in unfit:
        names.setdefault(found, []).append(name)
    return names


def _routed_around(unfit: Sequence[tuple[str, Unfit]]) -> list[str]:
    """One sentence, however many they are and whatever each one's reason is."""
    reasons = [f"{_listed(names)} cannot carry it ({found.sentence})" for found, names in _alike(unfit).items()]
    return [f"{'; '.join(reasons)}: it goes through the others."] if reasons else []


def _check_group_size(size: int, route: Sequence[Stop]) -> None:
    for stop in route:
        most = _limits(stop).recipients
        if most is not None and size > most:
            message = (
                f"{stop.name} takes at most {most} recipients in one mail: "
                "make the group smaller, or send with send_as: individual."
            )
            raise InvalidInput(message, code="too_many_recipients", details=[Detail("recipients", message)])


def _limits(stop: Stop) -> Limits:
    kind = KINDS.get(stop.kind)
    return kind.limits if kind is not None else _NO_LIMITS


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
