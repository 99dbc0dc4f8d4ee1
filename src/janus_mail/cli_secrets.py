"""`janus secrets …`: what is stored encrypted, and with which key."""

from typing import TYPE_CHECKING, Annotated

import typer

from janus_mail.cli_database import settings_with_database, with_database
from janus_mail.settings import Settings

if TYPE_CHECKING:
    from janus_mail.routing.rotate import Rotated
    from janus_mail.storage.database import Database
    from janus_mail.storage.secrets import SecretBox

sealed = typer.Typer(no_args_is_help=True, help="What is stored encrypted.")


@sealed.callback()
def _group() -> None:
    """So that a group of one command keeps its name."""


@sealed.command("rotate")
def rotate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Encrypt anew, with the first of JANUS_SECRET_KEYS and while everything runs, what is stored encrypted: providers'
    settings, second factors, mail of our own that has not left.

    Put the new key first and restart every process; run this; then the old key may go. Running it again does no harm.
    """
    with settings_with_database() as settings:
        box = _box(settings)
        done = with_database(settings, lambda db: _rotate(db, box, dry_run=dry_run))
    renewed = "would be encrypted anew" if dry_run else "encrypted anew"
    typer.echo(f"Looked at {done.looked_at}: {done.renewed} {renewed}, {done.already} had the first key already")
    for workspace, name, provider_id in done.lost:
        typer.echo(f"Opens with none of JANUS_SECRET_KEYS: {name} ({provider_id}) of workspace {workspace}", err=True)
    if done.lost:
        raise typer.Exit(1)


async def _rotate(database: "Database", box: "SecretBox", *, dry_run: bool) -> "Rotated":
    from rich.console import Console
    from rich.progress import Progress

    from janus_mail.accounts.rotate import rotate_accounts
    from janus_mail.routing.rotate import how_many, rotate

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("Encrypting anew", total=await how_many(database))
        done = await rotate(database, box, dry_run=dry_run, tell=lambda seen: progress.update(task, completed=seen))
    await rotate_accounts(database, box, done, dry_run=dry_run)
    return done


def _box(settings: Settings) -> "SecretBox":
    """With the keys of the settings, and that of the data folder where `janus dev` made one."""
    from janus_mail.storage.data_folder import DataFolder
    from janus_mail.storage.secrets import SecretBox

    folder = DataFolder(settings.data_dir)
    return SecretBox(folder.secret_keys(settings) if folder.has_secret_key else settings.require_secret_keys())
