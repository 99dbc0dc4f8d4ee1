"""Erasing a person: what they did keeps an author, and nothing says any more who that was."""

import uuid
from typing import Final

import orjson

from janus_mail.accounts import queries_erasing as queries
from janus_mail.audit.actors import Other
from janus_mail.audit.record import Actor, record
from janus_mail.errors import NotFound
from janus_mail.storage.database import Connection

ERASED_NAME: Final = "Erased person"

_TIMEOUT_S: Final = 600  # for what has no index: the events of the workspaces that they worked in


def pseudonym(user_id: uuid.UUID) -> str:
    """What stands where the address of somebody erased stood: an address that nobody can have (RFC 2606)."""
    return f"erased-{user_id}@invalid"


async def erase_person(connection: Connection, actor: Actor, user_id: uuid.UUID) -> set[uuid.UUID]:
    """Pseudonymise a person everywhere, in one transaction, and note that it was done. The workspaces whose lists named
    them: what is kept of those is to be renewed after the commit.

    Their row stays, so that what refers to it does; their sessions, programs, links, codes and places in workspaces
    are gone. Whoever calls has seen to it that no workspace loses its last owner. Raises `NotFound`.
    """
    email = await connection.fetchval(queries.PERSON_TO_ERASE, user_id)
    if email is None:
        raise NotFound("There is no such person.")
    addresses = [email.lower(), *await connection.fetchval(queries.FORMER_ADDRESSES, user_id, email)]
    instead = pseudonym(user_id)
    await connection.execute(queries.BEGIN_ERASING)
    events = await connection.fetch(queries.ERASE_EVENTS, user_id, addresses, instead, timeout=_TIMEOUT_S)
    for statement in queries.GONE_WITH_A_PERSON:
        await connection.execute(statement, user_id, timeout=_TIMEOUT_S)
    await connection.execute(queries.ERASE_USER, user_id, instead, ERASED_NAME)
    await connection.execute(queries.FORGET_INVITATIONS, addresses)
    for statement in queries.NAMED_IN_WORDS:
        await connection.execute(statement, addresses, instead, timeout=_TIMEOUT_S)
    await connection.execute(queries.ERASE_AUDIT, user_id, addresses, instead, ERASED_NAME, timeout=_TIMEOUT_S)
    for address in addresses:
        said = orjson.dumps(address).decode()
        await connection.execute(queries.ERASE_AUDITED_VALUES, said, orjson.dumps(instead).decode(), timeout=_TIMEOUT_S)
    await connection.execute(queries.END_ERASING)
    by = Other(actor.kind, instead, user_id) if actor.actor_id == user_id else actor
    await record(connection, by, "person.erased", "user", user_id, workspace_id=None, name=instead)
    return {row["workspace_id"] for row in events}
