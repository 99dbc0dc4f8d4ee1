"""Whether the services of an event's route can carry it: refused where none can, told where some cannot. Pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from janus_mail.errors import Detail, InvalidInput
from janus_mail.events.rows import EventRow
from janus_mail.models.states import SendAs
from janus_mail.providers.limits import Asked, AskedFile, Limits
from janus_mail.providers.registry import KINDS

_MOST_NAMED = 10
_NO_LIMITS = Limits(utf8_mailboxes=True)


class Stop(NamedTuple):
    """A provider of the route, as far as limits are about it."""

    name: str
    kind: str


def asked_of(row: EventRow, addresses: Iterable[str]) -> Asked | None:
    """What the event asks of a service, to whomever of `addresses`; null where every service can carry it."""
    utf8 = not all(map(str.isascii, addresses)) or not (row.from_email or "").isascii()
    group = row.send_as == SendAs.GROUP
    if not (utf8 or group or row.attachments or row.headers or row.tags or row.metadata or row.reply_to):
        return None
    return Asked(
        recipients=row.recipients_count if group else 1,
        octets=sum(len(text.encode()) for text in (row.subject, row.text or "", row.html or "")),
        files=[
            AskedFile(file["filename"], file["content_type"], file["size"],
                      inline=row.html is not None and file["content_id"] is not None)
            for file in row.attachments
        ],
        reply_to=len(row.reply_to), headers=row.headers, tags=row.tags, metadata=row.metadata,
        utf8_mailboxes=utf8 or not all(to["email"].isascii() for to in row.reply_to),
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
        reasons = "; ".join(f"{name}: {found.sentence}" for name, found in unfit[:_MOST_NAMED])
        raise InvalidInput(
            f"No provider of its route can carry this email. {reasons}.",
            code=unfit[0][1].code,
            details=[Detail(found.field, f"{name}: {found.sentence}.") for name, found in unfit[:_MOST_NAMED]],
        )
    cannot = {name for name, _ in unfit}
    warnings = [f"{name} cannot carry it ({found.sentence}): it goes through the others." for name, found in unfit]
    for stop in route:
        behind = [] if stop.name in cannot else _limits(stop).left_behind(asked)
        if behind:
            warnings.append(f"{stop.name} does not carry {_listed(behind)}, which Janus keeps.")
    return warnings


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
