"""The warning about recipients that get no mail because their address is on the workspace's list."""

from collections.abc import Iterator, Mapping, Sequence

from janus_mail.events.rows import NewEvent
from janus_mail.models.states import SuppressionReason
from janus_mail.suppressions.look_up import Reader, listed_among

_MOST_NAMED = 5


async def warn_of_suppressed(reader: Reader, new: Sequence[NewEvent]) -> None:
    """Adds it to the events of one workspace that need it, with one question for all of them."""
    if not new:
        return
    addresses = list({address for event in new for address in _addresses(event)})
    listed = await listed_among(reader, new[0].row.workspace_id, addresses)
    if listed:
        for event in new:
            event.row.warnings += _warning(event, listed)


def _warning(event: NewEvent, listed: Mapping[str, SuppressionReason]) -> list[str]:
    suppressed = [address for address in _addresses(event) if address in listed]
    if not suppressed:
        return []
    many = (
        "1 recipient is suppressed and gets"
        if len(suppressed) == 1
        else f"{len(suppressed):,} recipients are suppressed and get"
    )
    named = ", ".join(f"{address} ({listed[address].replace('_', ' ')})" for address in suppressed[:_MOST_NAMED])
    more = len(suppressed) - _MOST_NAMED
    return [f"{many} no mail: {named}{f' and {more:,} more' if more > 0 else ''}."]


def _addresses(event: NewEvent) -> Iterator[str]:
    """Of all its recipients, each once."""
    if event.row.group_recipients is None:
        return (message.recipient for message in event.messages)
    return (mailbox["email"] for part in event.row.group_recipients.values() for mailbox in part)
