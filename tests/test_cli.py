"""The commands: what they print, what they refuse, and how they find the database."""

import asyncio
import io
import os
import stat
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from cryptography.fernet import Fernet

from janus_mail import cli
from janus_mail.keys.key import create_key, prove_key
from janus_mail.routing.create import create_provider
from janus_mail.storage.database import Database
from janus_mail.storage.folder_lock import FolderLock
from janus_mail.storage.secrets import SecretBox
from tests.conftest import NewDatabase


class Done(NamedTuple):
    code: int
    out: str
    err: str


Janus = Callable[..., Coroutine[None, None, Done]]


@pytest.fixture
def janus(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Janus:
    """Runs `janus …` in an empty folder, with the environment as the test has set it."""
    monkeypatch.chdir(tmp_path)

    def run(arguments: tuple[str, ...]) -> int:
        sys.argv[1:] = arguments
        try:
            cli.main()
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 0
        return 0

    async def run_aside(*arguments: str, typed: str = "") -> Done:
        monkeypatch.setattr(sys, "argv", ["janus"])
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        capsys.readouterr()
        return Done(await asyncio.to_thread(run, arguments), *capsys.readouterr())

    return run_aside


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    """DATABASE_URL names the test database."""
    monkeypatch.setenv("DATABASE_URL", database_url)


@pytest.fixture
async def missing_database(database_url: str) -> AsyncIterator[str]:
    """The address of a database that is not there yet, on a server that is."""
    name = f"janus_test_{uuid.uuid4().hex[:12]}"
    yield urlunsplit(urlsplit(database_url)._replace(path=f"/{name}"))
    connection = await asyncpg.connect(database_url)
    await connection.execute(f"DROP DATABASE IF EXISTS {name}")
    await connection.close()


async def count(dsn: str, what: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval(f"SELECT count(*) FROM {what}"))
    finally:
        await connection.close()


@pytest.mark.usefixtures("workspace_id", "named")
async def test_keys_create_prints_just_a_key_that_works(janus: Janus, database: Database) -> None:
    done = await janus("keys", "create", "--name", "ci", "--scope", "events:read", "--scope", "events:write")
    assert (done.code, done.err) == (0, "")
    key = await prove_key(database, done.out.removesuffix("\n"))
    assert key is not None
    assert (key.name, key.workspace_name, key.scopes) == ("ci", "default", frozenset({"events:read", "events:write"}))


@pytest.mark.usefixtures("workspace_id", "named")
async def test_a_key_is_listed_without_its_secret_and_can_be_revoked(janus: Janus, database: Database) -> None:
    key = await create_key(database, workspace="default", name="ci")
    prefix = key.split("_")[1]
    listed = (await janus("keys", "list")).out
    assert listed.startswith(f"{prefix}  ci  ")
    assert "never used" in listed
    assert key not in listed
    assert (await janus("keys", "revoke", prefix)).code == 0
    assert await prove_key(database, key) is None
    assert "revoked" in (await janus("keys", "list")).out


@pytest.mark.usefixtures("workspace_id", "named")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("create", "--name", "x", "--workspace", "nowhere"), "no workspace 'nowhere'"),
        (("create", "--name", "x", "--scope", "everything"), "Unknown scopes: everything. There are events:read"),
        (("revoke", "unknown"), "has no key 'unknown'"),
    ],
)
async def test_a_key_command_that_cannot_be_done_says_why_in_a_line(
    janus: Janus, arguments: tuple[str, ...], says: str
) -> None:
    done = await janus("keys", *arguments)
    assert (done.code, done.out) == (1, "")
    assert says in done.err
    assert done.err.count("\n") == 1


@pytest.mark.usefixtures("workspace_id")
async def test_keys_create_finds_the_database_of_a_janus_dev_with_the_same_data_folder(
    janus: Janus, database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JANUS_DATA_DIR", str(tmp_path / "data"))
    dev = FolderLock(tmp_path / "data")
    dev.take(wait_s=0)
    try:
        starting = asyncio.create_task(janus("keys", "create", "--name", "ci"))
        await asyncio.sleep(0)
        dev.publish(url="http://localhost:8000", database_url=database_url, redis_url="redis://127.0.0.1")
        done = await starting
    finally:
        dev.release()
    assert await prove_key(database, done.out.strip()) is not None


async def test_without_a_database_the_line_names_the_variable_and_nothing_is_started(janus: Janus) -> None:
    for command in (("keys", "list"), ("migrate",), ("worker",)):
        done = await janus(*command)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith("DATABASE_URL is missing")
        assert done.err.count("\n") == 1
    assert os.listdir() == []  # noqa: PTH208


async def test_a_wrong_setting_is_one_line_and_exit_code_2(janus: Janus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JANUS_LEASE_SECONDS", "soon")
    for command in ("api", "worker", "dev", "migrate"):
        done = await janus(command)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith("JANUS_LEASE_SECONDS: ")
        assert done.err.count("\n") == 1


@pytest.mark.usefixtures("named")
async def test_the_start_without_secret_keys_names_the_command_that_makes_them(janus: Janus) -> None:
    for command in ("api", "worker"):
        done = await janus(command)
        assert (done.code, done.out) == (2, "")
        assert done.err == "JANUS_SECRET_KEYS is missing: `janus init` writes a .env with fresh ones\n"


async def test_a_database_that_is_away_is_one_line_without_the_password(
    janus: Janus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://janus:hunter2@127.0.0.1:1/janus")
    done = await janus("keys", "list")
    assert done.code == 1
    assert done.err.startswith("PostgreSQL cannot be used: ")
    assert done.err.count("\n") == 1
    assert "hunter2" not in done.err


async def test_init_writes_secrets_that_only_this_user_can_read_and_never_overwrites(
    janus: Janus, tmp_path: Path
) -> None:
    assert (await janus("init")).code == 0
    file = tmp_path / ".env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    written = file.read_text()
    values = dict(line.split("=", 1) for line in written.splitlines() if not line.startswith("#"))
    Fernet(values["JANUS_SECRET_KEYS"])
    assert len(values["POSTGRES_PASSWORD"]) >= 32

    again = await janus("init")
    assert (again.code, again.err) == (1, ".env is there already and stays as it is\n")
    assert file.read_text() == written
    assert (await janus("init", "--file", "-")).out.count("JANUS_SECRET_KEYS=") == 1


@pytest.mark.usefixtures("workspace_id")
async def test_config_check_shows_what_is_in_force_and_hides_secrets(
    janus: Janus, monkeypatch: pytest.MonkeyPatch, database_url: str, redis_url: str
) -> None:
    key = Fernet.generate_key().decode()
    monkeypatch.setenv("JANUS_SECRET_KEYS", key)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("MAIL_PASSWORD", "postgres://hunter2")
    monkeypatch.setenv("PORT", "8123")
    monkeypatch.setenv("JANUS_PUBLIC_URL", "https://janus.example.com")
    done = await janus("config", "check")
    assert done.code == 0
    lines = done.out.splitlines()
    assert "PORT=8123" in lines
    assert "JANUS_LEASE_SECONDS=60.0  (default)" in lines
    assert "MAIL_PASSWORD=(hidden)" in lines
    assert "JANUS_SECRET_KEYS=(1 hidden)" in lines
    assert any(line.startswith("PostgreSQL: version ") and line.endswith(", migrated") for line in lines)
    assert any(line.startswith("Redis: version ") for line in lines)
    assert "hunter2" not in done.out
    assert key not in done.out


async def test_config_check_finds_what_is_wrong(
    janus: Janus, monkeypatch: pytest.MonkeyPatch, new_database: NewDatabase
) -> None:
    monkeypatch.setenv("JANUS_SECRET_KEYS", Fernet.generate_key().decode())
    monkeypatch.setenv("DATABASE_URL", await new_database.empty())
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@127.0.0.1:1")
    done = await janus("config", "check")
    assert done.code == 1
    assert "not migrated to this Janus: run `janus migrate`" in done.out
    assert "JANUS_PUBLIC_URL: set it to the address that the world reaches Janus at, with https://" in done.out
    assert "Redis: cannot be used" in done.out
    assert "REDIS_URL=redis://:(hidden)@127.0.0.1:1" in done.out
    assert "hunter2" not in done.out


async def test_migrate_makes_the_tables_and_the_default_workspace_and_may_run_again(
    janus: Janus, monkeypatch: pytest.MonkeyPatch, new_database: NewDatabase
) -> None:
    dsn = await new_database.empty()
    monkeypatch.setenv("DATABASE_URL", dsn)
    for _ in range(2):
        assert (await janus("migrate")).code == 0
    assert await count(dsn, "workspaces WHERE name = 'default'") == 1
    assert (await janus("migrate", "--to", "base")).code == 0
    assert await count(dsn, "pg_tables WHERE tablename = 'workspaces'") == 0


async def test_the_developers_commands_make_check_and_reset_a_database(
    janus: Janus, monkeypatch: pytest.MonkeyPatch, missing_database: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", missing_database)
    assert (await janus("database", "init")).code == 0
    assert await count(missing_database, "providers WHERE sandbox") == 3
    assert (await janus("database", "revision", "nothing")).out == "Models and migrations agree: nothing written\n"

    connection = await asyncpg.connect(missing_database)
    await connection.execute("INSERT INTO workspaces (id, handle, name) VALUES (gen_random_uuid(), 'mine', 'mine')")
    await connection.close()
    for answer in ("n\n", ""):
        refused = await janus("database", "reset", typed=answer)
        assert refused.code == 1
        assert "Nothing was deleted; with --yes (make db-reset FORCE=1) nothing is asked" in refused.err
    assert await count(missing_database, "workspaces") == 2
    assert (await janus("database", "reset", typed="y\n")).code == 0
    assert await count(missing_database, "workspaces") == 1
    monkeypatch.setenv("JANUS_ENV", "production")
    assert (await janus("database", "reset", "--yes")).err == "JANUS_ENV is production: nothing was reset\n"
    assert await count(missing_database, "providers WHERE sandbox") == 3


async def test_a_reset_waits_until_janus_is_stopped(
    janus: Janus, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JANUS_DATA_DIR", str(tmp_path / "data"))
    dev = FolderLock(tmp_path / "data")
    dev.take(wait_s=0)
    dev.publish(url="http://localhost:8000", database_url=database_url, redis_url="redis://127.0.0.1")
    try:
        done = await janus("database", "reset", "--yes")
    finally:
        dev.release()
    assert (done.code, done.err) == (1, f"Janus is running in {tmp_path / 'data'}: stop it first\n")


async def test_in_development_a_command_brings_the_database_of_the_data_folder_for_as_long_as_it_runs(
    janus: Janus, monkeypatch: pytest.MonkeyPatch, servers_dir: Path
) -> None:
    monkeypatch.setenv("JANUS_ENV", "development")
    monkeypatch.setenv("JANUS_DATA_DIR", str(servers_dir / "cli"))
    migrated = await janus("migrate")
    assert (migrated.code, migrated.err) == (0, "==> Creating the database files (once)\n")
    created = await janus("keys", "create", "--name", "ci")
    assert (created.code, created.err) == (0, "")
    assert not (servers_dir / "cli" / "postgres" / "data" / "postmaster.pid").exists()


def test_a_command_does_not_wait_for_what_only_others_need() -> None:
    heavy = {"alembic", "arq", "asyncpg", "fastapi", "sqlalchemy", "uvicorn"}
    script = f"import sys, janus_mail.cli; sys.exit(','.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


async def test_secrets_are_encrypted_anew_with_the_first_key(
    janus: Janus, named: None, monkeypatch: pytest.MonkeyPatch, database: Database, workspace_id: uuid.UUID
) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    await create_provider(database, SecretBox([old]), workspace_id, kind="smtp", name="Relay", config={"host": "mx"})
    monkeypatch.setenv("JANUS_SECRET_KEYS", f"{new},{old}")

    dry = await janus("secrets", "rotate", "--dry-run")
    assert (dry.code, dry.out) == (0, "Looked at 1: 1 would be encrypted anew, 0 had the first key already\n")
    done = await janus("secrets", "rotate")
    assert (done.code, done.out) == (0, "Looked at 1: 1 encrypted anew, 0 had the first key already\n")
    sealed = await database.pool.fetchval("SELECT config FROM providers")
    assert SecretBox([new]).open(sealed) == {"host": "mx"}
    again = await janus("secrets", "rotate")
    assert (again.code, again.out) == (0, "Looked at 1: 0 encrypted anew, 1 had the first key already\n")


async def test_what_no_key_opens_is_named_and_the_command_fails(
    janus: Janus, named: None, monkeypatch: pytest.MonkeyPatch, database: Database, workspace_id: uuid.UUID
) -> None:
    lost = SecretBox([Fernet.generate_key().decode()])
    await create_provider(database, lost, workspace_id, kind="smtp", name="Relay", config={"host": "mx"})
    monkeypatch.setenv("JANUS_SECRET_KEYS", Fernet.generate_key().decode())

    done = await janus("secrets", "rotate")

    assert done.code == 1
    assert "Opens with none of JANUS_SECRET_KEYS: Relay (" in done.err
    assert "of workspace default" in done.err


async def test_without_a_key_nothing_is_rotated(janus: Janus, named: None) -> None:
    done = await janus("secrets", "rotate")
    assert done.code == 2
    assert done.err.startswith("JANUS_SECRET_KEYS is missing")
