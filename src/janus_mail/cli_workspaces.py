"""`janus workspaces …`: what whoever runs the server decides of workspaces. As `cli.py` it imports late."""

from typing import Annotated

import typer

from janus_mail.cli_database import settings_with_database, with_database

workspaces = typer.Typer(no_args_is_help=True, help="The workspaces of this server.")

Named = Annotated[str, typer.Argument(metavar="NAME_OR_ID", help="Its id, or its name where no other has it.")]


@workspaces.command("list")
def workspaces_list() -> None:
    """Show them, oldest first: id, name, members, quotas a minute and a month, since when paused."""
    from janus_mail.workspaces.supervising import list_all

    with settings_with_database() as settings:
        for row in with_database(settings, list_all):
            quotas = f"{_said(row.minute_quota)} a minute  {_said(row.monthly_quota)} a month"
            members = "1 member" if row.members == 1 else f"{row.members} members"
            paused = f"  paused {row.paused_at:%Y-%m-%d}" if row.paused_at else ""
            typer.echo(f"{row.id}  {row.name}  {members}  {quotas}{paused}")


@workspaces.command("create")
def workspaces_create(
    name: Annotated[str, typer.Argument(help="What people call it; others may have the same.")],
    owner: Annotated[str, typer.Option(help="The address of the account that owns it.")],
) -> None:
    """Make one for somebody who has an account, and print its id."""
    from janus_mail.workspaces.supervising import create_for

    with settings_with_database() as settings:
        typer.echo(with_database(settings, lambda db: create_for(db, name=name, owner=owner)))


@workspaces.command("quota")
def workspaces_quota(
    workspace: Named,
    per_minute: Annotated[str | None, typer.Option(help="Mails; 0: any number; `usual`: the server's.")] = None,
    monthly: Annotated[str | None, typer.Option(help="The same in a calendar month, UTC.")] = None,
) -> None:
    """Say how much mail it may accept. What is left out stays."""
    from janus_mail.workspaces.supervising import read_quota, set_quotas

    with settings_with_database() as settings:
        changes = {
            field: read_quota(option, text)
            for field, option, text in (
                ("minute_quota", "--per-minute", per_minute),
                ("monthly_quota", "--monthly", monthly),
            )
            if text is not None
        }
        row = with_database(settings, lambda db: set_quotas(db, workspace, changes))
    typer.echo(f"{row.name}: {_said(row.minute_quota)} a minute, {_said(row.monthly_quota)} a month")


def _said(quota: int | None) -> str:
    if quota is None:
        return "usual"
    return f"{quota:,}" if quota else "any number"
