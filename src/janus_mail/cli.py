"""`janus …`: the commands. What a command needs is imported when it runs, so that each one starts fast."""

import asyncio
import secrets
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn
from urllib.parse import urlsplit, urlunsplit

import typer
from pydantic import SecretStr

from janus_mail.cli_database import fail, run_to_end, settings_with_database, with_database
from janus_mail.cli_erase import erase
from janus_mail.cli_keys import keys
from janus_mail.cli_secrets import sealed
from janus_mail.cli_users import users
from janus_mail.cli_workspaces import workspaces
from janus_mail.errors import ApiError
from janus_mail.settings import Settings, SettingsError, load_settings, variable_name

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Janus: takes an email and a time, and makes sure that it leaves at that time, once.",
)  # fmt: skip
config = typer.Typer(no_args_is_help=True, help="The settings in force.")
database = typer.Typer(no_args_is_help=True, help="The database of a developer.")
app.add_typer(keys, name="keys")
app.add_typer(config, name="config")
app.add_typer(database, name="database")
app.add_typer(sealed, name="secrets")
app.add_typer(workspaces, name="workspaces")
app.add_typer(users, name="users")
app.add_typer(erase, name="erase")

Processes = Annotated[int, typer.Option(min=1, max=256, help="How many processes; one for each core is a good start.")]


@app.command()
def api(
    processes: Processes = 1,
    shared_port: Annotated[bool, typer.Option("--shared-port", hidden=True, help="Others listen there too.")] = False,
) -> None:
    """Serve the HTTP API and the pages."""
    from janus_mail.processes import API_FINISH_S, run_apis, shared_socket

    if processes > 1:
        _run_several(run_apis, _ready_settings(), processes)

    import uvicorn

    from janus_mail.app import create_app
    from janus_mail.telemetry.collector import collect_seldom
    from janus_mail.web.http_protocol import BoundedHttp

    settings = load_settings()
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings), host=settings.host, port=settings.port, access_log=False, log_config=None,
            log_level="warning", server_header=False, timeout_graceful_shutdown=API_FINISH_S, http=BoundedHttp,
            proxy_headers=False,  # it would believe whoever is on this machine; ours: web/client_address.py
        )
    )  # fmt: skip
    collect_seldom()
    try:
        server.run([shared_socket(settings.host, settings.port)] if shared_port else None)
    except KeyboardInterrupt:
        pass  # it has stopped
    if not server.started:
        raise typer.Exit(uvicorn.config.STARTUP_FAILURE)


@app.command()
def worker(
    processes: Processes = 1,
    id: Annotated[uuid.UUID | None, typer.Option(help="This worker's id; default: a fresh one.")] = None,  # noqa: A002
    succeeds: Annotated[uuid.UUID | None, typer.Option(help="A worker that is known to be dead.")] = None,
) -> None:
    """Send what is due, until SIGTERM."""
    settings = _ready_settings()
    if processes > 1:
        from janus_mail.processes import run_workers

        if id or succeeds:
            fail("--id and --succeeds are one process's: leave --processes away", code=2)
        _run_several(run_workers, settings, processes)

    from uuid_utils.compat import uuid7

    from janus_mail import worker as process

    raise typer.Exit(process.run(settings, worker_id=id or uuid7(), succeeds=succeeds))


def _ready_settings() -> Settings:
    """What is missing is said before anything is waited for; and logs are as they say."""
    from janus_mail.telemetry import logs

    settings = load_settings()
    _ = settings.database_dsn, settings.require_secret_keys()
    logs.configure(settings.effective_log_format, settings.log_level)
    return settings


def _run_several(run: Callable[[Settings, int], None], settings: Settings, processes: int) -> NoReturn:
    from janus_mail.processes import CannotStart

    try:
        run(settings, processes)
    except CannotStart as error:
        fail(str(error), code=1)
    raise typer.Exit(0)


@app.command()
def dev(
    tied_to_parent: Annotated[bool, typer.Option(hidden=True, help="Stop when the parent process ends.")] = False,
) -> None:
    """Run everything for a first try: PostgreSQL, Redis, API and worker. Ctrl-C stops all."""
    from janus_mail import supervisor
    from janus_mail.processes import CannotStart
    from janus_mail.storage.embedded import EmbeddedServerError

    try:
        code = supervisor.run(tied_to_parent=tied_to_parent)
    except (CannotStart, EmbeddedServerError) as error:
        fail(str(error), code=1)
    raise typer.Exit(code)


@app.command()
def top(
    once: Annotated[bool, typer.Option("--once", help="Print one table and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and end.")] = False,
) -> None:
    """Watch what is due, under way and stuck, and which providers take no mail. Ctrl-C ends it."""
    from janus_mail.watch.top import show

    with settings_with_database() as settings:
        try:
            with_database(settings, lambda db: show(db, once=once, as_json=as_json))
        except KeyboardInterrupt:
            pass  # that is how one leaves


@app.command()
def migrate(
    to: Annotated[str, typer.Option(help="A revision; an older one or `base` goes back.")] = "head",
) -> None:
    """Bring the database up to this version, and make the workspace `default`."""
    from janus_mail.routing.seed import seed_default_workspace
    from janus_mail.storage.migrate import migrate as run_migrations

    with settings_with_database() as settings:
        run_to_end(run_migrations(settings.database_dsn, to))
        if to == "head":
            with_database(settings, seed_default_workspace)


@app.command()
def init(
    file: Annotated[Path, typer.Option(help="Where to write; `-` prints.", allow_dash=True)] = Path(".env"),
) -> None:
    """Write a .env with fresh secrets. Never overwrites one."""
    from cryptography.fernet import Fernet

    text = (
        "# Made by `janus init`. Keep it secret, and keep a copy: what JANUS_SECRET_KEYS encrypted needs it.\n"
        "# .env.example explains every setting.\n"
        f"JANUS_SECRET_KEYS={Fernet.generate_key().decode()}\n"
        f"POSTGRES_PASSWORD={secrets.token_urlsafe(24)}\n"
    )
    if file == Path("-"):
        typer.echo(text, nl=False)
        return
    try:
        file.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        fail(f"{file} is there already and stays as it is", code=1)
    file.write_text(text)
    typer.echo(f"{file} written, with fresh secrets")


@config.command("check")
def config_check() -> None:
    """Show every setting, secrets masked, and whether PostgreSQL, Redis, links and mail of our own can be used."""
    from janus_mail.notices.system_mail_check import check_system_mail
    from janus_mail.storage.check import check_postgres, check_public_url, check_redis
    from janus_mail.storage.data_folder import named_or_running

    settings = load_settings()
    for field in Settings.model_fields:
        default = "" if field in settings.model_fields_set else "  (default)"
        typer.echo(f"{variable_name(field)}={_shown(field, getattr(settings, field))}{default}")
    in_use = named_or_running(settings) or settings
    findings = [asyncio.run(check(in_use)) for check in (check_postgres, check_redis)]
    findings.append(check_public_url(in_use))
    if findings[0].good:
        findings.append(asyncio.run(check_system_mail(in_use)))
    for finding in findings:
        typer.echo(finding.text)
    if in_use is settings:  # a running `janus dev` has its own
        settings.require_secret_keys()
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)


@database.command("init")
def database_init() -> None:
    """Make the database if it is missing, migrate it, and make the workspace `default`."""
    with settings_with_database(_developer_settings()) as settings:
        _set_up(settings)


@database.command("revision")
def database_revision(message: Annotated[str, typer.Argument(help="What changes, in a few words.")]) -> None:
    """Write a migration from what the models have and the database has not."""
    from janus_mail.storage.developing import write_revision
    from janus_mail.storage.migrate import migrate as run_migrations

    with settings_with_database(_developer_settings()) as settings:
        run_to_end(run_migrations(settings.database_dsn))
        path = run_to_end(write_revision(settings.database_dsn, message))
    typer.echo(f"{path} written; read it before you use it" if path else "Models and migrations agree: nothing written")


@database.command("reset")
def database_reset(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Remove everything that Janus keeps in the database, and set it up again."""
    from janus_mail.storage.folder_lock import published
    from janus_mail.storage.migrate import migrate as run_migrations

    developer = _developer_settings()
    if developer.env == "production":
        raise SettingsError("JANUS_ENV is production: nothing was reset")
    if published(developer.data_dir, wait_s=0.1) is not None:
        fail(f"Janus is running in {developer.data_dir}: stop it first", code=1)
    with settings_with_database(developer) as settings:
        name = _without_password(settings.database_dsn)
        if not yes and not _agreed(f"Delete every event, mail, provider and key in {name}?"):
            fail("Nothing was deleted; with --yes (make db-reset FORCE=1) nothing is asked", code=1)
        run_to_end(run_migrations(settings.database_dsn, "base"))
        _set_up(settings)


def _agreed(question: str) -> bool:
    try:
        return typer.confirm(question)
    except typer.Abort:  # nobody is there to answer
        return False


def _developer_settings() -> Settings:
    """Who uses the developer's commands is in development, unless something says otherwise."""
    settings = load_settings()
    return settings if "env" in settings.model_fields_set else load_settings(env="development")


def _set_up(settings: Settings) -> None:
    from janus_mail.routing.seed import seed_default_workspace, seed_development
    from janus_mail.storage.data_folder import DataFolder
    from janus_mail.storage.developing import create_database
    from janus_mail.storage.migrate import migrate as run_migrations
    from janus_mail.storage.secrets import SecretBox

    run_to_end(create_database(settings.database_dsn))
    run_to_end(run_migrations(settings.database_dsn))
    if settings.env == "development":
        box = SecretBox(DataFolder(settings.data_dir).secret_keys(settings))
        with_database(settings, lambda db: seed_development(db, box))
    else:
        with_database(settings, seed_default_workspace)


def _shown(field: str, value: object) -> str:
    if field in {"database_url", "redis_url"} and isinstance(value, SecretStr):
        return _without_password(value.get_secret_value())
    if isinstance(value, SecretStr):
        return "(hidden)"
    if isinstance(value, tuple):
        return f"({len(value)} hidden)" if field == "secret_keys" else ", ".join(map(str, value))
    return "" if value is None else str(value)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    login, at, server = parts.netloc.rpartition("@")
    user, colon, _ = login.partition(":")
    # The query may hold a password too.
    return urlunsplit((parts.scheme, user + (f"{colon}(hidden)" if colon else "") + at + server, parts.path, "", ""))


def main() -> None:
    """What a person can put right is one line on stderr; exit code 2 when it is a setting."""
    try:
        app()
    except SettingsError as error:
        typer.echo(str(error), err=True)
        sys.exit(2)
    except ApiError as error:
        typer.echo(error.message, err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
