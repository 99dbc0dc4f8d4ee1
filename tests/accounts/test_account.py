"""What somebody does with their own account: the service functions, with real passwords and links."""

import re
import uuid
from typing import Any

import pyotp
import pytest
from fastapi import FastAPI
from uuid_utils.compat import uuid7

from janus_mail.accounts import account, second_factor
from janus_mail.accounts.account import Me
from janus_mail.accounts.delete_account import delete_account
from janus_mail.accounts.erase_person import pseudonym
from janus_mail.accounts.own_sessions import (
    end_other_sessions,
    end_program,
    end_session,
    list_programs,
    list_sessions,
)
from janus_mail.accounts.sessions import open_session, prove_session
from janus_mail.accounts.user_agents import in_words
from janus_mail.errors import ApiError, Conflict, InvalidInput, NotFound, Unauthorized
from janus_mail.gate.sign_in import prove_password
from janus_mail.models.states import Role
from janus_mail.storage.database import Database
from janus_mail.tokens.access_tokens import prove_access_token
from janus_mail.tokens.refresh_tokens import Issued, Origin, begin_family, exchange
from janus_mail.web.context import Context
from tests.accounts.programs import MARA, PASSWORD, QUICK, quick_passwords
from tests.people import add_person, add_workspace

__all__ = ["quick_passwords"]

NEW = "mara@new.example"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0"


class Home:
    """Somebody who is signed in, their context and database."""

    def __init__(self, context: Context, me: Me, token: str) -> None:
        self.context, self.me, self.token = context, me, token
        self.database: Database = context.database

    async def session(self, user_agent: str = FIREFOX) -> str:
        async with self.database.transaction() as connection:
            return await open_session(
                connection, self.me.user_id, address="192.0.2.7", user_agent=user_agent, lasts_s=60
            )

    async def program(self, workspace_id: uuid.UUID) -> Issued:
        origin = Origin(address="192.0.2.8", user_agent="python-httpx/0.28")
        async with self.database.transaction() as connection:
            issued = await begin_family(self.context, connection, self.me.user_id, workspace_id, origin)
        assert issued is not None
        return issued

    async def is_in(self, token: str) -> bool:
        return await prove_session(self.database, token, address="") is not None

    async def mails(self) -> list[dict[str, Any]]:
        """What goes out, the oldest first."""
        rows = await self.database.pool.fetch("SELECT sealed FROM system_mails ORDER BY id")
        return [self.context.secrets.open(row["sealed"]) for row in rows]

    async def actions(self) -> list[str]:
        return [row["action"] for row in await self.database.pool.fetch("SELECT action FROM audit_log ORDER BY id")]

    async def signs_in(self, email: str, password: str) -> bool:
        try:
            await prove_password(self.context, email, password, address="192.0.2.1")
        except Unauthorized:
            return False
        return True


@pytest.fixture
async def home(app: FastAPI, database: Database, workspace_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch) -> Home:
    context: Context = app.state.context
    monkeypatch.setattr(context.settings, "system_provider", "sandbox")
    user_id = await add_person(
        database, MARA, workspace_id=workspace_id, role=Role.EDITOR, password_digest=QUICK.hash(PASSWORD)
    )
    await add_person(database, "ann@example.com", workspace_id=workspace_id)
    async with database.transaction() as connection:
        token = await open_session(connection, user_id, address="192.0.2.7", user_agent=FIREFOX, lasts_s=60)
    proven = await prove_session(database, token, address="192.0.2.7")
    assert proven is not None
    return Home(context, Me(person=proven.person, session_id=proven.id, address="192.0.2.7"), token)


def field_of(refused: pytest.ExceptionInfo[Any]) -> str:
    error: ApiError = refused.value
    return error.details[0].field


async def test_a_new_name_is_stored_and_noted(home: Home) -> None:
    await account.rename(home.context, home.me, "  Mara Lind ")
    await account.rename(home.context, home.me, "Mara Lind")
    row = await home.database.pool.fetchrow("SELECT before, after FROM audit_log")
    assert row is not None
    assert (row["before"], row["after"]) == ({"name": "Mara"}, {"name": "Mara Lind"})
    with pytest.raises(InvalidInput) as refused:
        await account.rename(home.context, home.me, "a\nb")
    assert field_of(refused) == "name"


async def test_a_new_password_signs_everything_else_out_and_is_told(home: Home, workspace_id: uuid.UUID) -> None:
    other, program = await home.session(), await home.program(workspace_id)
    await account.change_password(home.context, home.me, PASSWORD, "another four words here")
    assert await home.is_in(home.token)
    assert not await home.is_in(other)
    assert await prove_access_token(home.context, program.access_token, address="") is None
    assert not await home.signs_in(MARA, PASSWORD)
    assert await home.signs_in(MARA, "another four words here")
    (mail,) = await home.mails()
    assert (mail["recipient"], mail["subject"]) == (MARA, "Your password was changed")
    assert "password.changed" in await home.actions()


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [("wrong", "another four words here", "current"), (PASSWORD, "short", "new"), (PASSWORD, "password123", "new")],
    ids=["not theirs", "short", "common"],
)
async def test_a_password_that_does_not_do_changes_nothing(home: Home, current: str, new: str, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await account.change_password(home.context, home.me, current, new)
    assert field_of(refused) == field
    assert await home.signs_in(MARA, PASSWORD)
    assert await home.mails() == []


async def test_a_new_address_counts_when_its_link_was_followed_and_the_old_one_is_told_twice(home: Home) -> None:
    await account.ask_for_new_email(home.context, home.me, PASSWORD, f" {NEW} ")
    to_new, to_old = await home.mails()
    assert (to_new["recipient"], to_old["recipient"]) == (NEW, MARA)
    assert NEW not in to_old["text"]
    assert "not you" in to_old["text"]
    secret = link_in(to_new["text"])
    assert await home.signs_in(MARA, PASSWORD)
    assert await account.find_new_email(home.context, secret) == NEW
    assert await account.confirm_new_email(home.context, secret, address="192.0.2.9") == NEW
    assert await home.signs_in(NEW, PASSWORD)
    assert not await home.signs_in(MARA, PASSWORD)
    told = (await home.mails())[-1]
    assert (told["recipient"], told["subject"]) == (MARA, "Your address was changed")
    with pytest.raises(NotFound):
        await account.confirm_new_email(home.context, secret, address="")


async def test_an_address_that_is_taken_is_not_told_but_to_its_owner(home: Home) -> None:
    await account.ask_for_new_email(home.context, home.me, PASSWORD, "Ann@example.com")
    to_ann, to_old = await home.mails()
    assert (to_ann["recipient"], to_old["recipient"]) == ("ann@example.com", MARA)
    assert "/account/email/" not in to_ann["text"]


async def test_an_address_that_was_taken_meanwhile_is_a_dead_link(home: Home) -> None:
    await account.ask_for_new_email(home.context, home.me, PASSWORD, NEW)
    secret = link_in((await home.mails())[0]["text"])
    await add_person(home.database, NEW.upper())
    with pytest.raises(NotFound):
        await account.confirm_new_email(home.context, secret, address="")
    assert await home.signs_in(MARA, PASSWORD)


async def test_a_half_done_registration_of_the_new_address_gives_way(home: Home) -> None:
    await account.ask_for_new_email(home.context, home.me, PASSWORD, NEW)
    await add_person(home.database, NEW)
    await home.database.pool.execute("UPDATE users SET confirmed_at = NULL WHERE email = $1", NEW)
    secret = link_in((await home.mails())[0]["text"])
    assert await account.confirm_new_email(home.context, secret, address="") == NEW


async def test_a_disabled_person_changes_no_address(home: Home) -> None:
    await account.ask_for_new_email(home.context, home.me, PASSWORD, NEW)
    secret = link_in((await home.mails())[0]["text"])
    await home.database.pool.execute("UPDATE users SET disabled_at = clock_timestamp()")
    with pytest.raises(NotFound):
        await account.confirm_new_email(home.context, secret, address="")


@pytest.mark.parametrize(
    ("current", "email", "field"),
    [("wrong", NEW, "current"), (PASSWORD, "nothing", "email"), (PASSWORD, MARA.upper(), "email")],
    ids=["password", "no address", "the same"],
)
async def test_what_is_wrong_with_a_new_address_is_said(home: Home, current: str, email: str, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await account.ask_for_new_email(home.context, home.me, current, email)
    assert field_of(refused) == field
    assert await home.mails() == []


async def test_a_server_without_mail_says_who_can_help(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home.context.settings, "system_provider", None)
    monkeypatch.setattr(home.context.settings, "env", "production")
    with pytest.raises(Conflict) as refused:
        await account.ask_for_new_email(home.context, home.me, PASSWORD, NEW)
    assert refused.value.code == "no_system_mail"
    assert "administrator" in refused.value.message


async def test_sessions_are_listed_in_words_and_end_one_by_one_or_all_others(home: Home) -> None:
    others = [await home.session("curl/8.5"), await home.session(), await home.session()]
    rows = await list_sessions(home.database, home.me)
    assert [row.this_one for row in rows].count(True) == 1
    assert {row.what for row in rows} == {"curl", "Firefox on Windows"}
    (curl,) = [row for row in rows if row.what == "curl"]
    await end_session(home.database, home.me, curl.id)
    assert [await home.is_in(token) for token in others] == [False, True, True]
    assert await end_other_sessions(home.database, home.me) == 2
    assert [await home.is_in(token) for token in (home.token, *others)] == [True, False, False, False]
    assert (await home.actions()).count("session.revoked") == 3


async def test_programs_are_listed_with_their_workspace_and_end(home: Home, workspace_id: uuid.UUID) -> None:
    kept, ended = await home.program(workspace_id), await home.program(workspace_id)
    await exchange(home.context, kept.refresh_token, None, Origin(address="192.0.2.9", user_agent="curl/8.5"))
    rows = await list_programs(home.database, home.me)
    assert [(row.what, row.workspace_name) for row in rows] == [("curl", "default"), ("a Python program", "default")]
    await end_program(home.database, home.me, rows[1].id)
    assert [row.what for row in await list_programs(home.database, home.me)] == ["curl"]
    assert await prove_access_token(home.context, ended.access_token, address="") is None


async def test_nobody_ends_what_is_anothers(home: Home, workspace_id: uuid.UUID) -> None:
    await home.program(workspace_id)
    (program,) = await list_programs(home.database, home.me)
    ann = await home.database.pool.fetchval("SELECT id FROM users WHERE email = 'ann@example.com'")
    async with home.database.transaction() as connection:
        token = await open_session(connection, ann, address="", user_agent="", lasts_s=60)
    hers = await prove_session(home.database, token, address="")
    assert hers is not None
    not_me = Me(person=hers.person, session_id=hers.id, address="")
    with pytest.raises(NotFound):
        await end_session(home.database, home.me, hers.id)
    with pytest.raises(NotFound):
        await end_program(home.database, not_me, program.id)
    assert await home.is_in(token)


async def test_switching_the_second_factor_on_and_off_is_told(home: Home) -> None:
    with pytest.raises(InvalidInput):
        await account.begin_second_factor(home.context, home.me, "wrong")
    await account.begin_second_factor(home.context, home.me, PASSWORD)
    code = await code_of(home)
    codes = await account.confirm_second_factor(home.context, home.me, code)
    with pytest.raises(InvalidInput) as refused:
        await account.switch_second_factor_off(home.context, home.me, PASSWORD, code)
    assert field_of(refused) == "code"
    await account.switch_second_factor_off(home.context, home.me, PASSWORD, codes[0])
    assert [mail["subject"] for mail in await home.mails()] == [
        "Your second factor was switched on", "Your second factor was switched off",
    ]  # fmt: skip


async def test_who_deletes_their_account_is_nobody_any_more(home: Home, workspace_id: uuid.UUID) -> None:
    program = await home.program(workspace_id)
    await delete_account(home.context, home.me, PASSWORD, "")
    assert not await home.is_in(home.token)
    assert await prove_access_token(home.context, program.access_token, address="") is None
    assert not await home.signs_in(MARA, PASSWORD)
    (mail,) = await home.mails()
    assert mail["recipient"] == MARA
    email = await home.database.pool.fetchval("SELECT email FROM users WHERE id = $1", home.me.user_id)
    assert email == pseudonym(home.me.user_id)


async def test_kept_lists_that_name_who_deletes_their_account_are_made_anew(
    home: Home, workspace_id: uuid.UUID
) -> None:
    await home.database.pool.execute(
        """INSERT INTO events (id, workspace_id, subject, text, expected_sent_at, priority, recipients_count, failover,
                               on_uncertain, first_recipients, counts, created_by)
           VALUES ($1, $2, 'x', 'x', clock_timestamp(), 1, 1, true, 'resend', '[]', '{}', $3)""",
        uuid7(), workspace_id, MARA,
    )  # fmt: skip

    async def make() -> bytes:
        return MARA.encode()

    lists = home.context.list_cache
    assert [(await lists.serve(workspace_id, "q", make))[1] for _ in range(2)] == ["miss", "hit"]
    await delete_account(home.context, home.me, PASSWORD, "")
    assert (await lists.serve(workspace_id, "q", make))[1] == "miss"


async def test_deleting_an_account_needs_password_and_code(home: Home) -> None:
    with pytest.raises(InvalidInput):
        await delete_account(home.context, home.me, "wrong", "")
    await account.begin_second_factor(home.context, home.me, PASSWORD)
    codes = await account.confirm_second_factor(home.context, home.me, await code_of(home))
    with pytest.raises(InvalidInput) as refused:
        await delete_account(home.context, home.me, PASSWORD, "000000")
    assert field_of(refused) == "code"
    await delete_account(home.context, home.me, PASSWORD, codes[0])


async def test_the_last_owner_of_what_others_are_in_stays(home: Home, workspace_id: uuid.UUID) -> None:
    await home.database.pool.execute("UPDATE memberships SET role = 'owner' WHERE user_id = $1", home.me.user_id)
    await home.database.pool.execute("UPDATE memberships SET role = 'editor' WHERE user_id <> $1", home.me.user_id)
    with pytest.raises(Conflict, match="default") as refused:
        await delete_account(home.context, home.me, PASSWORD, "")
    assert refused.value.code == "last_owner"
    await home.database.pool.execute("UPDATE memberships SET role = 'owner'")
    await delete_account(home.context, home.me, PASSWORD, "")


async def test_an_owner_who_cannot_sign_in_is_nobody_to_leave_a_workspace_to(home: Home) -> None:
    await home.database.pool.execute("UPDATE memberships SET role = 'owner'")
    await home.database.pool.execute("UPDATE users SET disabled_at = clock_timestamp() WHERE email <> $1", MARA)
    with pytest.raises(Conflict, match="default") as refused:
        await delete_account(home.context, home.me, PASSWORD, "")
    assert refused.value.code == "last_owner"


async def test_a_workspace_in_which_one_is_alone_is_deleted_first_but_for_the_servers_own(home: Home) -> None:
    alone = await add_workspace(home.database, "mine")
    await home.database.pool.execute("INSERT INTO memberships VALUES ($1, $2, 'owner')", alone, home.me.user_id)
    await home.database.pool.execute("DELETE FROM memberships WHERE user_id <> $1", home.me.user_id)
    await home.database.pool.execute("UPDATE workspaces SET handle = NULL WHERE id = $1", alone)
    with pytest.raises(Conflict, match="mine") as refused:
        await delete_account(home.context, home.me, PASSWORD, "")
    assert refused.value.code == "alone_in_workspace"
    await home.database.pool.execute("DELETE FROM workspaces WHERE id = $1", alone)
    await delete_account(home.context, home.me, PASSWORD, "")  # `default` stays, with nobody in it


async def test_the_last_administrator_stays(home: Home) -> None:
    await home.database.pool.execute("UPDATE users SET administrator = true WHERE id = $1", home.me.user_id)
    proven = await prove_session(home.database, home.token, address="")
    assert proven is not None
    me = Me(person=proven.person, session_id=proven.id, address="")
    with pytest.raises(Conflict) as refused:
        await delete_account(home.context, me, PASSWORD, "")
    assert refused.value.code == "last_administrator"
    await home.database.pool.execute("UPDATE users SET administrator = true")
    await delete_account(home.context, me, PASSWORD, "")


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (FIREFOX, "Firefox on Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.4 Safari/605.1.15",
         "Safari on a Mac"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605 CriOS/122.0 Mobile Safari/604",
         "Chrome on an iPhone"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/122.0 Safari/537.36 Edg/122.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/122.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (compatible)", "an unknown browser"),
        ("python-httpx/0.28", "a Python program"),
        ("", "an unknown program"),
        ("<script>alert(1)</script>", "an unknown program"),
    ],
    ids=["firefox", "safari", "chrome on ios", "edge", "chrome on android", "browser", "python", "nothing", "script"],
)  # fmt: skip
def test_a_user_agent_is_told_in_words(user_agent: str, words: str) -> None:
    assert in_words(user_agent) == words


def link_in(text: str) -> str:
    found = re.search(r"/account/email/(\S+)", text)
    assert found is not None
    return found[1]


async def code_of(home: Home) -> str:
    async with home.database.transaction() as connection:
        told = await second_factor.pending(connection, home.context.secrets, home.me.user_id, MARA)
    assert told is not None
    return pyotp.TOTP(told.secret.replace(" ", "")).now()
