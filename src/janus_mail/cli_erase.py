"""`janus erase …`: what somebody asks to be forgotten, by who runs the server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from janus_mail.cli_database import fail, settings_with_database, with_database
from janus_mail.errors import ApiError

if TYPE_CHECKING:
    from janus_mail.erasure.schemas import Erased
    from janus_mail.settings import Settings
    from janus_mail.storage.database import Database
    from janus_mail.storage.list_cache import ListCache

erase = typer.Typer(no_args_is_help=True, help="Pseudonymise a person or a recipient everywhere.")

Email = Annotated[str, typer.Argument(help="The address.")]
Sure = Annotated[bool, typer.Option("--yes", help="Do not ask whether that is meant.")]


@erase.command("recipient")
def recipient(
    email: Email,
    workspace: Annotated[str, typer.Option(help="`default`, or a workspace's id.")] = "default",
    unsuppress: Annotated[bool, typer.Option("--unsuppress", help="Also take it off the suppressions.")] = False,
    yes: Sure = False,
) -> None:
    """Erase a recipient's data of one workspace. What waits for them is canceled. It cannot be taken back."""
    _ask(f"Erase {email} from the workspace {workspace}?", yes=yes)
    with settings_with_database() as settings:
        try:
            done = with_database(
                settings, lambda db: _erase_recipient(db, settings, email, workspace, unsuppress=unsuppress)
            )
        except ApiError as error:
            fail(error.message, code=1)
    typer.echo(f"{done.message} {done.pseudonym} stands there instead.")
    for table, many in done.counts.items():
        typer.echo(f"  {table}: {many:,}")
    if done.suppression == "kept":
        typer.echo("The address stays on the suppressions: --unsuppress takes it off.")


@erase.command("person")
def person(email: Email, yes: Sure = False) -> None:
    """Erase somebody's account. What they did keeps an author, and nothing says any more who that was."""
    _ask(f"Erase the account {email}?", yes=yes)
    with settings_with_database() as settings:
        try:
            instead = with_database(settings, lambda db: _erase_person(db, settings, email))
        except ApiError as error:
            fail(error.message, code=1)
    typer.echo(f"Erased: {instead} stands there instead.")


async def _erase_recipient(
    database: "Database", settings: "Settings", email: str, workspace: str, *, unsuppress: bool
) -> "Erased":
    """Raises `ApiError`."""
    from pydantic import ValidationError

    from janus_mail.audit.actors import COMMAND
    from janus_mail.erasure.recipient import erase_recipient
    from janus_mail.erasure.schemas import ErasureRequest
    from janus_mail.errors import InvalidInput, NotFound
    from janus_mail.keys.queries import WORKSPACE_CALLED

    try:
        wanted = ErasureRequest(email=email, unsuppress=unsuppress)
    except ValidationError:
        raise InvalidInput("Type the whole address.") from None
    workspace_id = await database.pool.fetchval(WORKSPACE_CALLED, workspace)
    if workspace_id is None:
        raise NotFound(f"There is no workspace {workspace}.")
    async with _lists(settings) as lists:
        return await erase_recipient(database, lists, COMMAND, workspace_id, wanted)


async def _erase_person(database: "Database", settings: "Settings", email: str) -> str:
    """Raises `ApiError`."""
    from janus_mail.accounts.delete_account import left_to_nobody
    from janus_mail.accounts.erase_person import erase_person, pseudonym
    from janus_mail.accounts.queries_account import HOLD_WORKSPACES
    from janus_mail.audit.actors import COMMAND
    from janus_mail.erasure.queries import PERSON
    from janus_mail.errors import Conflict, NotFound

    async with database.transaction() as connection:
        user_id = await connection.fetchval(PERSON, email)
        if user_id is None:
            raise NotFound(f"There is no account {email}.")
        await connection.fetch(HOLD_WORKSPACES, user_id)
        owned, alone = await left_to_nobody(connection, user_id)
        if owned or alone:
            names = ", ".join([*owned, *alone])
            raise Conflict(f"The last owner of {names}: give the workspace another one, or delete it.")
        named_in = await erase_person(connection, COMMAND, user_id)
    async with _lists(settings) as lists:
        await lists.renew(*named_in)
    return pseudonym(user_id)


@asynccontextmanager
async def _lists(settings: "Settings") -> "AsyncIterator[ListCache]":
    """The kept pages of lists, which name who is erased."""
    from janus_mail.storage.list_cache import ListCache
    from janus_mail.storage.redis import open_redis

    redis = open_redis(settings.redis_url.get_secret_value() if settings.redis_url else None)
    try:
        yield ListCache(redis, settings.list_cache_seconds)
    finally:
        if redis is not None:
            await redis.aclose()


def _ask(question: str, *, yes: bool) -> None:
    if not yes:
        typer.confirm(f"{question} This cannot be taken back.", abort=True)
