"""A command's way to the database, and how it ends when there is none: one line on stderr."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import typer

from janus_mail.settings import Settings, load_settings

if TYPE_CHECKING:
    from janus_mail.storage.database import Database

T = TypeVar("T")


@contextmanager
def settings_with_database(settings: Settings | None = None) -> Iterator[Settings]:
    from janus_mail.storage.data_folder import database_in_reach
    from janus_mail.storage.embedded import EmbeddedServerError

    try:
        with database_in_reach(settings or load_settings(), _say_progress) as completed:
            yield completed
    except EmbeddedServerError as error:
        fail(str(error), code=1)


def _say_progress(text: str) -> None:
    typer.echo(f"==> {text}", err=True)


def with_database(settings: Settings, work: "Callable[[Database], Coroutine[Any, Any, T]]") -> T:
    from janus_mail.storage.database import Database

    async def work_on_it() -> T:
        opened = await Database.open(settings.database_dsn, pool_size=1)
        try:
            return await work(opened)
        finally:
            await opened.close()

    return run_to_end(work_on_it())


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    import asyncpg
    from sqlalchemy.exc import DBAPIError

    from janus_mail.storage.database import CONNECTION_LOST

    no_use: tuple[type[BaseException], ...] = (*CONNECTION_LOST, asyncpg.PostgresError, DBAPIError)
    try:
        return asyncio.run(work)
    except no_use as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        fail(f"PostgreSQL cannot be used: {reason}", code=1)


def fail(message: str, *, code: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(code)
