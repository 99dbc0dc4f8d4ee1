"""`janus erase …`: what somebody asks to be forgotten, by who runs the server."""

from typing import TYPE_CHECKING, Annotated

import typer

from janus_mail.cli_database import fail, settings_with_database, with_database
from janus_mail.errors import ApiError

if TYPE_CHECKING:
    from janus_mail.erasure.schemas import Erased
    from janus_mail.settings import Settings
    from janus_mail.storage.database import Database

erase = typer.Typer(no_args_is_help=True, help="Pseudonymise a person or a recipient everywhere.")

Email = Annotated[str, typer.Argument(help="The address.")]
Sure = Annotated[bool, typer.Option("--yes", help="Do not ask whether that is meant.")]


@erase.command("recipient")
def recipient(
    email: Email,
    workspace: Annotated[str, typer.Option(help="The workspace's name.")] = "default",
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
            instead = with_database(settings, lambda db: _erase_person(db, email))
        except ApiError as error:
            fail(error.message, code=1)
    typer.echo(f"Erased: {instead} stands there instead.")


async def _erase_recipient(
    database: "Database", settings: "Settings", email: str, workspace: str, *, unsuppress: bool
) -> "Erased":
    """Raises `ApiError`."""
    from pydantic import ValidationError

    from janus_mail.accounts.queries import WORKSPACE_CALLED
    from janus_mail.audit.actors import COMMAND
    from janus_mail.erasure.recipient import erase_recipient
    from janus_mail.erasure.schemas import ErasureRequest
    from janus_mail.errors import InvalidInput, NotFound
    from janus_mail.storage.list_cache import ListCache
    from janus_mail.storage.redis import open_redis

    try:
        wanted = ErasureRequest(email=email, unsuppress=unsuppress)
    except ValidationError:
        raise InvalidInput("Type the whole address.") from None
    row = await database.pool.fetchrow(WORKSPACE_CALLED, workspace)
    if row is None:
        raise NotFound(f"There is no workspace {workspace}.")
    redis = open_redis(settings.redis_url.get_secret_value() if settings.redis_url else None)
    try:
        lists = ListCache(redis, settings.list_cache_seconds)
        return await erase_recipient(database, lists, COMMAND, row["id"], wanted)
    finally:
        if redis is not None:
            await redis.aclose()


async def _erase_person(database: "Database", email: str) -> str:
    """Raises `ApiError`."""
    from janus_mail.accounts.erase_person import erase_person, pseudonym
    from janus_mail.audit.actors import COMMAND
    from janus_mail.erasure.queries import PERSON, SOLE_OWNER_OF
    from janus_mail.errors import Conflict, NotFound

    async with database.transaction() as connection:
        user_id = await connection.fetchval(PERSON, email)
        if user_id is None:
            raise NotFound(f"There is no account {email}.")
        alone = [row["name"] for row in await connection.fetch(SOLE_OWNER_OF, user_id)]
        if alone:
            raise Conflict(f"The last owner of {', '.join(alone)}: give the workspace another one, or delete it.")
        await erase_person(connection, COMMAND, user_id)
    return pseudonym(user_id)


def _ask(question: str, *, yes: bool) -> None:
    if not yes:
        typer.confirm(f"{question} This cannot be taken back.", abort=True)
