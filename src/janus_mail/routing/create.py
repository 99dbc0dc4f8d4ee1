"""Setting up a provider: what it may be called and hold, and its place at the end of the route."""

import uuid
from collections.abc import Mapping
from typing import Required, TypedDict, Unpack

import asyncpg
from pydantic import ValidationError
from uuid_utils.compat import uuid7

from janus_mail.delivery.control import try_waiting_now
from janus_mail.errors import Conflict, Detail, InvalidInput
from janus_mail.providers.registry import NoAdapter, UnknownKind, validate_config
from janus_mail.routing import queries
from janus_mail.storage.database import Connection, Database
from janus_mail.storage.secrets import SecretBox
from janus_mail.web.validation import invalid_input

ENVIRONMENT_NAME = "environment"


class NewProvider(TypedDict, total=False):
    """What a provider is made of; `config` in plain, as its kind's schema says."""

    kind: Required[str]
    name: Required[str]
    sandbox: bool
    config: Mapping[str, object]
    from_email: str | None
    from_name: str | None
    sender_domains: list[str] | None


async def create_provider(
    database: Database, secrets: SecretBox, workspace_id: uuid.UUID, **new: Unpack[NewProvider]
) -> uuid.UUID:
    """Add a provider at the end of the route; its id.

    Raises `InvalidInput` (unknown kind, a real one without adapter, wrong config) and `Conflict` (name taken).
    """
    refuse_reserved_name(new["name"])
    async with database.transaction() as connection:
        await connection.execute(queries.LOCK_WORKSPACE, workspace_id)
        return await add_provider(connection, secrets, workspace_id, **new)


async def add_provider(
    connection: Connection,
    secrets: SecretBox,
    workspace_id: uuid.UUID,
    *,
    from_environment: bool = False,
    **new: Unpack[NewProvider],
) -> uuid.UUID:
    """The same in a transaction that holds the workspace's row."""
    provider_id = uuid7()
    sandbox = new.get("sandbox", False)
    config = valid_config(new["kind"], new.get("config", {}), sandbox=sandbox)
    try:
        await connection.execute(
            queries.INSERT_PROVIDER, provider_id, workspace_id, new["kind"], new["name"], sandbox, secrets.seal(config),
            new.get("from_email"), new.get("from_name"), new.get("sender_domains"), from_environment,
        )  # fmt: skip
    except asyncpg.UniqueViolationError:
        raise name_taken(new["name"]) from None
    await try_waiting_now(connection, workspace_id)
    return provider_id


def valid_config(kind: str, config: Mapping[str, object], *, sandbox: bool) -> dict[str, object]:
    """The config as it is stored (sealed). Raises `InvalidInput`, never with a value in it."""
    try:
        return validate_config(kind, config, sandbox=sandbox)
    except UnknownKind as error:
        raise InvalidInput(f"{error}.", details=[Detail("kind", str(error))]) from None
    except NoAdapter as error:
        raise InvalidInput(f"{error}.", code="no_adapter", details=[Detail("kind", str(error))]) from None
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        placed = [{**one, "loc": ("body", "config", *one["loc"])} for one in found]
        raise invalid_input(placed, {"config": config}) from None


def refuse_reserved_name(name: str) -> None:
    """Raises `Conflict`: the provider of that name is made of MAIL_* settings."""
    if name.casefold() == ENVIRONMENT_NAME:  # routes find a provider by its name in any case
        raise Conflict(
            f"The name {ENVIRONMENT_NAME} belongs to the provider that MAIL_* settings make.", code="name_taken"
        )


def name_taken(name: str) -> Conflict:
    return Conflict(f"The workspace has a provider named {name} already.", code="name_taken")
