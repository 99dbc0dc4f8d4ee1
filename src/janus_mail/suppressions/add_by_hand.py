"""Addresses that a person or a program puts on the list."""

from collections.abc import Sequence

from janus_mail.accounts.callers import Caller
from janus_mail.audit.record import record
from janus_mail.content.addresses import InvalidAddress, parse_mailbox
from janus_mail.errors import Detail, InvalidInput
from janus_mail.suppressions.add import Found, suppress
from janus_mail.suppressions.read import read_several
from janus_mail.suppressions.schemas import SuppressionsAdd, SuppressionsAdded
from janus_mail.web import idempotency
from janus_mail.web.context import Context
from janus_mail.web.idempotency import OnceOnly

_MOST_NAMED = 20


async def add_by_hand(
    context: Context, caller: Caller, wanted: SuppressionsAdd, once: OnceOnly | None = None
) -> tuple[SuppressionsAdded, bool]:
    """All or none; true when `once` had been answered before. Raises InvalidInput (`invalid_addresses`), or Conflict
    for the key."""
    addresses = _read(wanted.addresses)
    source = said_by(caller) + (f": {wanted.note}" if wanted.note else "")
    async with context.database.transaction() as connection:
        kept = await idempotency.begin(connection, caller.workspace_id, once) if once else None
        if kept is not None:
            return SuppressionsAdded.model_validate(kept.answer), True
        added = await suppress(
            connection, [Found(caller.workspace_id, address, wanted.reason, source) for address in addresses]
        )
        await record(
            connection, caller, "suppressions.added", "suppressions", workspace_id=caller.workspace_id,
            name=addresses[0] if len(addresses) == 1 else None,
            after={"addresses": addresses[:_MOST_NAMED], "asked": len(addresses), "new": added,
                   "reason": wanted.reason, "note": wanted.note},
        )  # fmt: skip
        answer = SuppressionsAdded(
            message=new_to_the_list(added), added=added,
            data=await read_several(connection, caller.workspace_id, addresses),
        )  # fmt: skip
        if once:
            await idempotency.keep(connection, caller.workspace_id, once, answer=answer.model_dump(mode="json"))
    return answer, False


def said_by(caller: Caller) -> str:
    """As `source` tells who put an address on the list."""
    return "somebody on this machine" if caller.anonymous else caller.label


def new_to_the_list(added: int) -> str:
    return f"{added:,} {'address is' if added == 1 else 'addresses are'} new to the list."


def _read(given: Sequence[str]) -> list[str]:
    """In wire form. Raises InvalidInput (`invalid_addresses`), naming each that is none."""
    addresses: list[str] = []
    wrong: list[tuple[str, Detail]] = []
    for index, text in enumerate(given):
        try:
            addresses.append(parse_mailbox(text).address)
        except InvalidAddress as error:
            wrong.append((error.text, Detail(f"addresses[{index}]", error.reason)))
    if wrong:
        named = ", ".join(text for text, _ in wrong[:_MOST_NAMED])
        more = f" and {len(wrong) - _MOST_NAMED} more" if len(wrong) > _MOST_NAMED else ""
        details = [detail for _, detail in wrong[:_MOST_NAMED]]
        raise InvalidInput(f"Invalid emails: {named}{more}", code="invalid_addresses", details=details)
    return addresses
