"""`janus users …`: who has an account. Everything that needs a mail elsewhere is done here without one."""

import sys
from typing import Annotated, Literal

import typer

from janus_mail.cli_database import settings_with_database, with_database
from janus_mail.settings import Settings

users = typer.Typer(no_args_is_help=True, help="Who has an account.")

Email = Annotated[str, typer.Argument(help="The address of the account.")]


@users.command("create")
def create(
    email: Email,
    name: Annotated[str | None, typer.Option(help="What others read; default: what stands before the @.")] = None,
    administrator: Annotated[bool, typer.Option("--administrator", help="Of this server.")] = False,
    workspace: Annotated[str | None, typer.Option(help="Where they work: a name such as `default`, or an id.")] = None,
    role: Annotated[Literal["owner", "editor", "viewer"], typer.Option(help="As what.")] = "editor",
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password; no link.")] = False,
) -> None:
    """Make an account, and print the link under which its password is chosen, once, within three days."""
    from janus_mail.accounts.people import create_person
    from janus_mail.models.states import Role

    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    place = (workspace, Role(role)) if workspace is not None else None
    with settings_with_database() as settings:
        link = with_database(
            settings,
            lambda db: create_person(
                db, _with_address(settings), email=email, name=name, administrator=administrator, place=place,
                password=password,
            ),
        )  # fmt: skip
    typer.echo(link if link is not None else f"{email} has an account now")


@users.command("list")
def show_all() -> None:
    """Show them, the oldest first."""
    from janus_mail.accounts.people import list_people

    with settings_with_database() as settings:
        people = with_database(settings, list_people)
    for person in people:
        said = [
            "administrator" if person.administrator else "",
            "" if person.confirmed_at else "not confirmed",
            f"disabled {person.disabled_at:%Y-%m-%d}" if person.disabled_at else "",
            "second factor" if person.needs_code else "",
            f"{person.workspaces} workspace{'' if person.workspaces == 1 else 's'}",
            f"made {person.created_at:%Y-%m-%d}",
            f"seen {person.seen_at:%Y-%m-%d %H:%M}Z" if person.seen_at else "never seen",
        ]
        typer.echo("  ".join([person.email, person.name, *filter(None, said)]))


@users.command("confirm")
def confirm(email: Email) -> None:
    """Open an account whose address its owner could not confirm by mail."""
    from janus_mail.accounts.people import confirm_person

    with settings_with_database() as settings:
        with_database(settings, lambda db: confirm_person(db, email))
    typer.echo(f"{email} is confirmed")


@users.command("disable")
def disable(email: Email) -> None:
    """Close an account, and end its sessions and tokens. Nothing of it is deleted."""
    _set_disabled(email, disabled=True)


@users.command("enable")
def enable(email: Email) -> None:
    """Open an account again."""
    _set_disabled(email, disabled=False)


@users.command("administrator")
def administrator(
    email: Email,
    revoke: Annotated[bool, typer.Option("--revoke", help="No longer.")] = False,
) -> None:
    """Let somebody administer this server."""
    from janus_mail.accounts.people import set_administrator

    with settings_with_database() as settings:
        with_database(settings, lambda db: set_administrator(db, email, administrator=not revoke))
    typer.echo(f"{email} is {'no longer ' if revoke else ''}an administrator of this server")


@users.command("set-up-link")
def set_up_link() -> None:
    """Print the link that makes the first account, once, within a day. It replaces the one before."""
    from janus_mail.gate.set_up import set_up_link as make

    with settings_with_database() as settings:
        typer.echo(with_database(settings, lambda db: make(db, _with_address(settings))))


@users.command("reset-link")
def reset_link(email: Email) -> None:
    """Print a link under which the password is chosen anew, once, within three days: for a server without mail."""
    from janus_mail.accounts.people import give_reset_link

    with settings_with_database() as settings:
        typer.echo(with_database(settings, lambda db: give_reset_link(db, _with_address(settings), email)))


def _set_disabled(email: str, *, disabled: bool) -> None:
    from janus_mail.accounts.people import set_disabled

    with settings_with_database() as settings:
        with_database(settings, lambda db: set_disabled(db, email, disabled=disabled))
    typer.echo(f"{email} is {'disabled' if disabled else 'enabled'}")


def _with_address(settings: Settings) -> Settings:
    """With the address of a running `janus dev`, where none is set."""
    from janus_mail.storage.folder_lock import published

    if settings.public_url is not None:
        return settings
    running = published(settings.data_dir, wait_s=0.5)
    return settings if running is None else settings.model_copy(update={"public_url": running.get("url")})
