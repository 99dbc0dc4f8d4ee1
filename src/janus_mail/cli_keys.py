"""`janus keys …`: API keys of a workspace. As `cli.py` it imports late."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from janus_mail.cli_database import settings_with_database, with_database

keys = typer.Typer(no_args_is_help=True, help="API keys of a workspace.")

Workspace = Annotated[str, typer.Option(help="`default`, or a workspace's id.")]
Prefix = Annotated[str, typer.Argument(help="What stands between `janus_` and the next `_`.")]


@keys.command("create")
def keys_create(
    name: Annotated[str, typer.Option(help="What the key is for.")],
    workspace: Workspace = "default",
    scope: Annotated[list[str] | None, typer.Option(help="May be given several times; default: every scope.")] = None,
    expires_in_days: Annotated[int | None, typer.Option(min=1, max=3650, help="Default: it does not end.")] = None,
    rate_limit: Annotated[
        int | None, typer.Option(min=0, max=1_000_000, help="Requests a minute; 0: no limit of its own.")
    ] = None,
) -> None:
    """Make an API key and print it, this once."""
    from janus_mail.accounts.permissions import ALL_SCOPES
    from janus_mail.keys.key import create_key

    ends = datetime.now(UTC) + timedelta(days=expires_in_days) if expires_in_days is not None else None
    with settings_with_database() as settings:
        typer.echo(
            with_database(
                settings,
                lambda db: create_key(
                    db, workspace=workspace, name=name, scopes=scope or ALL_SCOPES, expires_at=ends,
                    rate_limit=rate_limit,
                ),
            )
        )  # fmt: skip


@keys.command("list")
def keys_list(workspace: Workspace = "default") -> None:
    """Show the keys, newest first: prefix, name, scopes, when made, last used, and how they end or ended."""
    from janus_mail.keys.key import list_keys

    with settings_with_database() as settings:
        for key in with_database(settings, lambda db: list_keys(db, workspace=workspace)):
            used = f"used {key.last_used_at:%Y-%m-%d %H:%M}Z" if key.last_used_at else "never used"
            ended = f"  revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else ""
            if key.expires_at and not key.revoked_at:
                ended = f"  {'expired' if key.status == 'expired' else 'ends'} {key.expires_at:%Y-%m-%d %H:%M}Z"
            made = f"made {key.created_at:%Y-%m-%d}"
            typer.echo(f"{key.prefix}  {key.name}  {','.join(key.scopes)}  {made}  {used}{ended}")


@keys.command("rotate")
def keys_rotate(
    prefix: Prefix,
    workspace: Workspace = "default",
    overlap_hours: Annotated[int, typer.Option(min=0, max=720, help="For so long the old one still opens.")] = 24,
) -> None:
    """Make a key that takes another's place, and print it, this once."""
    from janus_mail.keys.key import rotate_key

    with settings_with_database() as settings:
        typer.echo(
            with_database(
                settings, lambda db: rotate_key(db, workspace=workspace, prefix=prefix, overlap_hours=overlap_hours)
            )
        )


@keys.command("revoke")
def keys_revoke(prefix: Prefix, workspace: Workspace = "default") -> None:
    """Refuse a key from now on."""
    from janus_mail.keys.key import revoke_key

    with settings_with_database() as settings:
        with_database(settings, lambda db: revoke_key(db, workspace=workspace, prefix=prefix))
