"""`janus users …`: accounts without mail."""

import asyncio
import io
import re
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI

from janus_mail import cli
from janus_mail.accounts.sessions import open_session, prove_session
from janus_mail.gate.passwords import verify_password
from janus_mail.gate.registering import register
from janus_mail.storage.database import Database
from janus_mail.storage.folder_lock import FolderLock
from tests.accounts.mailing import GOOD, set_up
from tests.pages.gate import browser
from tests.people import add_person

EMAIL = "mara@example.com"


class Done(NamedTuple):
    code: int
    out: str
    err: str


Users = Callable[..., Coroutine[None, None, Done]]


@pytest.fixture
def users(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, database_url: str
) -> Users:
    """Runs `janus users …` in an empty folder, on the test database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("JANUS_PUBLIC_URL", "http://testserver")

    def run(arguments: tuple[str, ...]) -> int:
        sys.argv[1:] = ["users", *arguments]
        try:
            cli.main()
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 0
        return 0

    async def aside(*arguments: str, typed: str = "") -> Done:
        monkeypatch.setattr(sys, "argv", ["janus"])
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        capsys.readouterr()
        return Done(await asyncio.to_thread(run, arguments), *capsys.readouterr())

    return aside


async def audited(database: Database) -> list[tuple[str, str, str]]:
    rows = await database.pool.fetch("SELECT actor_kind, action, object FROM audit_log ORDER BY id")
    return [(row["actor_kind"], row["action"], row["object"]) for row in rows]


async def test_who_is_made_by_a_command_chooses_a_password_through_its_link(
    users: Users, app: FastAPI, database: Database
) -> None:
    done = await users("create", EMAIL, "--name", "Mara Lind", "--workspace", "default", "--role", "viewer")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(r"http://testserver/reset/\S{43}\n", done.out)
    async with browser(app) as mara:
        assert (await mara.send(urlsplit(done.out.strip()).path, password=GOOD)).status_code == 303
        assert (await mara.send("/login", email=EMAIL, password=GOOD)).headers["location"] == "/"
        assert await mara.is_in()
    row = await database.pool.fetchrow(
        "SELECT u.name, u.administrator, m.role FROM users u JOIN memberships m ON m.user_id = u.id"
    )
    assert row is not None
    assert tuple(row) == ("Mara Lind", False, "viewer")
    assert (await audited(database))[:3] == [
        ("command", "account.made", EMAIL), ("command", "member.added", EMAIL), ("command", "password.link_made", EMAIL)
    ]  # fmt: skip


async def test_a_password_can_be_handed_over_on_stdin(users: Users, database: Database) -> None:
    weak = await users("create", EMAIL, "--password-stdin", typed="password2024\n")
    assert (weak.code, weak.out) == (1, "")
    assert "Many people use this password" in weak.err
    done = await users("create", EMAIL, "--administrator", "--password-stdin", typed=f"{GOOD}\n")
    assert (done.code, done.out) == (0, f"{EMAIL} has an account now\n")
    row = await database.pool.fetchrow("SELECT name, administrator, password_digest FROM users")
    assert row is not None
    assert (row["name"], row["administrator"]) == ("mara", True)
    assert await verify_password(GOOD, row["password_digest"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("create", "mara"), "must have an @-sign"),
        (("create", EMAIL, "--workspace", "nowhere"), "no workspace 'nowhere'"),
        (("create", "ANN@example.com"), "has an account already"),
        (("confirm", EMAIL), "has no account"),
        (("confirm", "ann@example.com"), "confirmed already"),
        (("disable", EMAIL), "has no account"),
        (("reset-link", EMAIL), "has no account"),
        (("set-up-link",), "janus users create"),
    ],
    ids=lambda value: "-".join(value[:2]).replace("@", "-at-") if isinstance(value, tuple) else "",
)
async def test_what_cannot_be_done_is_said_in_a_line(
    users: Users, database: Database, arguments: tuple[str, ...], says: str
) -> None:
    await add_person(database, "ann@example.com")
    done = await users(*arguments)
    assert (done.code, done.out) == (1, "")
    assert says in done.err
    assert done.err.count("\n") == 1
    assert await database.pool.fetchval("SELECT count(*) FROM users") == 1


async def test_an_address_is_confirmed_without_mail(users: Users, app: FastAPI, database: Database) -> None:
    context = set_up(app, {"registration": "open"})
    await register(context, email=EMAIL, name="Mara", password=GOOD, address="")
    assert "not confirmed" in (await users("list")).out
    assert (await users("confirm", "MARA@example.com")).code == 0
    assert "not confirmed" not in (await users("list")).out
    async with browser(app) as mara:
        assert (await mara.send("/login", email=EMAIL, password=GOOD)).status_code == 303
    assert ("command", "account.confirmed", EMAIL) in await audited(database)


async def test_a_disabled_account_opens_nothing_from_that_moment(users: Users, database: Database) -> None:
    user_id = await add_person(database, EMAIL)
    async with database.transaction() as connection:
        token = await open_session(connection, user_id, address="", user_agent="", lasts_s=60)
    assert await prove_session(database, token, address="") is not None
    for _ in range(2):
        assert (await users("disable", EMAIL)).code == 0
    assert await prove_session(database, token, address="") is None
    assert "disabled 20" in (await users("list")).out
    assert "is disabled" in (await users("reset-link", EMAIL)).err
    assert (await users("enable", EMAIL)).code == 0
    assert await prove_session(database, token, address="") is None
    assert "disabled" not in (await users("list")).out
    assert await audited(database) == [("command", "account.disabled", EMAIL), ("command", "account.enabled", EMAIL)]


async def test_administrators_are_made_and_unmade(users: Users, database: Database) -> None:
    await add_person(database, EMAIL)
    await users("administrator", EMAIL)
    assert "administrator" in (await users("list")).out
    await users("administrator", EMAIL, "--revoke")
    assert "administrator" not in (await users("list")).out
    rows = await database.pool.fetch("SELECT before, after FROM audit_log ORDER BY id")
    assert [(row["before"]["administrator"], row["after"]["administrator"]) for row in rows] == [
        (False, True), (True, False)
    ]  # fmt: skip


async def test_the_set_up_link_makes_the_first_account_and_the_newest_counts(
    users: Users, app: FastAPI, database: Database
) -> None:
    old, new = [urlsplit((await users("set-up-link")).out.strip()).path for _ in range(2)]
    async with browser(app) as first:
        assert (await first.get(old)).status_code == 404
        assert (await first.send(new, email=EMAIL, name="Mara", password=GOOD)).status_code == 303
        assert await first.is_in()
    done = await users("set-up-link")
    assert (done.code, done.out) == (1, "")


async def test_a_link_leads_to_the_janus_dev_that_runs(
    users: Users, database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("JANUS_PUBLIC_URL")
    assert (await users("set-up-link")).out.startswith("http://localhost:8000/set-up/")
    lock = FolderLock(tmp_path / ".janus")
    lock.take(wait_s=1)
    try:
        lock.publish(url="http://localhost:8123", database_url="", redis_url="")
        assert (await users("set-up-link")).out.startswith("http://localhost:8123/set-up/")
    finally:
        lock.release()
