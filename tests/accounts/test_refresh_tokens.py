"""Tokens of people's programs: how they are had, exchanged once each, and ended."""

import asyncio
import base64
import time
import uuid
from typing import Any

import httpx
import pyotp
import pytest
from fastapi import FastAPI

from janus_mail.accounts import second_factor
from janus_mail.audit.actors import SYSTEM
from janus_mail.errors import Unauthorized
from janus_mail.models.states import Role
from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox
from janus_mail.tokens.refresh_tokens import Origin, exchange
from janus_mail.workspaces.queries import DELETE_MEMBER, REVOKE_TOKENS
from tests.accounts.blocked import until_blocked
from tests.accounts.programs import MARA, PASSWORD, Program, mara, program, quick_passwords
from tests.conftest import TEST_KEY
from tests.people import add_workspace

__all__ = ["mara", "program", "quick_passwords"]

HERE = Origin(address="127.0.0.1", user_agent="test")


async def test_a_program_signs_in_with_a_password_and_may_what_its_person_may(
    program: Program, workspace_id: uuid.UUID
) -> None:
    answer = await program.sign_in()
    assert answer["token_type"] == "bearer"
    assert answer["expires_in"] == 600
    assert answer["scope"] == "events:read events:write providers:read"
    assert answer["workspace_id"] == str(workspace_id)
    me = (await program.me()).json()
    assert me["kind"] == "user"
    assert me["person"]["email"] == MARA
    assert me["person"]["workspaces"] == [{"id": str(workspace_id), "name": "default", "role": "editor"}]
    bearer = {"Authorization": f"Bearer {answer['access_token']}"}
    assert (await program.client.get("/api/events", headers=bearer)).status_code == 200
    refused = await program.client.patch("/api/workspace", headers=bearer, json={"on_uncertain": "park"})
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_role")


async def test_a_key_reads_its_own_name_and_scopes_and_nothing_of_a_person(api: httpx.AsyncClient) -> None:
    me = (await api.get("/api/me")).json()
    assert (me["kind"], me["api_key"]["name"], me["person"], me["role"]) == ("api_key", "test", None, None)
    assert "admin" in me["scopes"]


async def test_on_this_machine_nobody_in_particular_is_an_owner(anonymous_api: httpx.AsyncClient) -> None:
    me = (await anonymous_api.get("/api/me")).json()
    assert (me["kind"], me["person"], me["api_key"], me["role"]) == ("anonymous", None, None, "owner")


async def test_who_shows_nothing_reads_nothing(program: Program) -> None:
    assert (await program.client.get("/api/me")).status_code == 401


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"password": "wrong wrong wrong"}, 401, "invalid_grant"),
        ({"username": "nobody@example.com"}, 401, "invalid_grant"),
        ({"username": "no address\n"}, 401, "invalid_grant"),
        ({"workspace_id": "0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a01"}, 401, "invalid_grant"),
        ({"workspace_id": "default"}, 400, "invalid_request"),
        ({"grant_type": ""}, 400, "invalid_request"),
        ({"grant_type": "client_credentials"}, 400, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, 400, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, 401, "invalid_grant"),
        ({"password": ""}, 400, "invalid_request"),
        ({"username": "a\0b"}, 400, "invalid_request"),
        ({"password": "x" * 5_000}, 400, "invalid_request"),
    ],
    ids=[
        "wrong password", "nobody", "no address", "another workspace", "no id", "no grant", "another grant",
        "no refresh token", "no such refresh token", "no password", "nul", "long",
    ],
)  # fmt: skip
async def test_what_is_wrong_with_a_form_is_said_in_the_words_of_oauth(
    program: Program, fields: dict[str, str], status: int, code: str
) -> None:
    refused = await program.sign_in(fields, status=status)
    assert refused["code"] == code
    assert PASSWORD not in str(refused)


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x", "text/plain", ""])
async def test_only_a_form_is_read(program: Program, kind: str) -> None:
    answer = await program.client.post("/api/auth/token", content=b"{}", headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_a_person_may_choose_another_of_their_workspaces_also_when_refreshing(
    program: Program, database: Database, workspace_id: uuid.UUID
) -> None:
    other = await add_workspace(database, "other")
    strange = await add_workspace(database, "strange")
    await database.pool.execute("INSERT INTO memberships VALUES ($1, $2, 'viewer')", other, program.user_id)
    assert (await program.sign_in())["workspace_id"] == str(workspace_id)
    answer = await program.refresh(workspace_id=str(other))
    assert answer["workspace_id"] == str(other)
    assert answer["scope"] == "events:read providers:read"
    assert (await program.me()).json()["workspace"]["name"] == "other"
    assert (await program.refresh(workspace_id=str(strange), status=401))["code"] == "invalid_grant"
    assert (await program.refresh())["workspace_id"] == str(other)  # it was not used up by that
    assert (await program.sign_in(workspace_id=str(other)))["workspace_id"] == str(other)


async def test_a_program_that_went_on_to_another_workspace_lives_on_when_the_first_lets_its_person_go(
    program: Program, database: Database, workspace_id: uuid.UUID
) -> None:
    other = await add_workspace(database, "other")
    await database.pool.execute("INSERT INTO memberships VALUES ($1, $2, 'viewer')", other, program.user_id)
    before = (await program.sign_in())["access_token"]
    await program.refresh(workspace_id=str(other))
    await database.pool.execute(DELETE_MEMBER, workspace_id, program.user_id)
    await database.pool.execute(REVOKE_TOKENS, workspace_id, program.user_id)
    assert (await program.me(before)).status_code == 401
    assert (await program.me()).json()["workspace"]["name"] == "other"
    assert (await program.refresh())["workspace_id"] == str(other)


class TestSecondFactor:
    @pytest.fixture
    async def secret(self, program: Program, database: Database) -> str:
        box = SecretBox([TEST_KEY])
        async with database.transaction() as connection:
            await second_factor.begin(connection, box, program.user_id)
            told = await second_factor.pending(connection, box, program.user_id, MARA)
            assert told is not None
            secret = told.secret.replace(" ", "")
            code = pyotp.TOTP(secret).at(int(time.time()) - 30)
            await second_factor.confirm(connection, box, SYSTEM, program.user_id, code)
        return secret

    async def test_the_password_alone_is_not_enough(self, program: Program, secret: str) -> None:
        assert (await program.sign_in(status=401))["code"] == "invalid_grant"
        assert (await program.sign_in(status=401, totp="000000"))["code"] == "invalid_grant"

    async def test_who_knows_the_password_and_no_code_is_noted(
        self, program: Program, secret: str, database: Database
    ) -> None:
        await program.sign_in(status=401, totp="000000")
        row = await database.pool.fetchrow("SELECT * FROM audit_log WHERE action = 'session.refused'")
        assert row is not None
        assert (row["object_id"], row["address"], row["after"]) == (program.user_id, "127.0.0.1", {"step": "code"})

    @pytest.mark.parametrize("way", ["totp", "client_secret", "basic"])
    async def test_the_code_comes_in_its_field_or_where_the_dialog_of_the_docs_has_room(
        self, program: Program, secret: str, way: str
    ) -> None:
        code = pyotp.TOTP(secret).now()
        basic = {"Authorization": f"Basic {base64.b64encode(f':{code}'.encode()).decode()}"}
        await (program.sign_in(headers=basic) if way == "basic" else program.sign_in({way: code}))
        assert (await program.me()).status_code == 200

    @pytest.mark.parametrize("header", ["Basic", "Basic ???", "Basic Og==", "Basic gICA", "Bearer x", "Digest x"])
    async def test_a_header_that_says_nothing_is_none(self, program: Program, secret: str, header: str) -> None:
        assert (await program.sign_in(status=401, headers={"Authorization": header}))["code"] == "invalid_grant"

    async def test_after_ten_tries_no_code_is_looked_at(self, program: Program, secret: str) -> None:
        for _ in range(10):
            await program.sign_in(status=401, totp="000000")
        assert (await program.sign_in(status=429, totp=pyotp.TOTP(secret).now()))["code"] == "too_many_requests"


async def test_each_refresh_token_is_good_for_one_exchange(program: Program) -> None:
    first = await program.sign_in()
    second = await program.refresh()
    assert second["refresh_token"] != first["refresh_token"]
    third = await program.sign_in(grant_type="refresh_token", refresh_token=second["refresh_token"])
    assert (await program.me(third["access_token"])).status_code == 200
    assert (await program.me(first["access_token"])).status_code == 200  # until it expires


async def test_a_used_token_that_comes_again_ends_the_family_and_its_person_is_told(
    program: Program, app: FastAPI, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.state.context.settings, "system_provider", "sandbox")
    stolen = (await program.sign_in())["refresh_token"]
    mine = await program.refresh()
    for _ in range(2):
        assert (await program.refresh(stolen, status=401))["code"] == "invalid_grant"
    assert (await program.refresh(mine["refresh_token"], status=401))["code"] == "invalid_grant"
    assert (await program.me(mine["access_token"])).status_code == 401
    actions = await _audited(database)
    assert actions.count("tokens.reused") == 1
    (sealed,) = await database.pool.fetch("SELECT sealed FROM system_mails")
    mail = SecretBox([TEST_KEY]).open(sealed["sealed"])
    assert mail["recipient"] == MARA
    assert "Firefox on Linux" in mail["text"]
    assert stolen not in str(mail)


async def test_another_sign_in_of_the_same_person_lives_on(program: Program) -> None:
    other = await program.sign_in()
    stolen = (await program.sign_in())["refresh_token"]
    await program.refresh()
    await program.refresh(stolen, status=401)
    assert (await program.me(other["access_token"])).status_code == 200
    await program.refresh(other["refresh_token"])


async def test_of_requests_at_the_same_moment_one_wins_and_the_family_stays(
    program: Program, app: FastAPI, database: Database
) -> None:
    token = (await program.sign_in())["refresh_token"]
    async with database.transaction() as connection:
        await connection.execute("SELECT FROM refresh_tokens FOR UPDATE")
        tasks = [asyncio.create_task(exchange(app.state.context, token, None, HERE)) for _ in range(3)]
        await until_blocked(database, 3)
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    (won,) = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert all(isinstance(answer, Unauthorized) for answer in answers if answer is not won)
    assert (await program.me(won.access_token)).status_code == 200
    await program.refresh(won.refresh_token)


async def test_the_family_ends_so_long_after_the_sign_in_however_often_it_is_refreshed(
    program: Program, database: Database
) -> None:
    await program.sign_in()
    ends = await database.pool.fetchval("SELECT expires_at FROM refresh_tokens")
    await program.refresh()
    rows = await database.pool.fetch("SELECT expires_at, begun_at FROM refresh_tokens")
    assert {row["expires_at"] for row in rows} == {ends}
    assert len({row["begun_at"] for row in rows}) == 1
    await database.pool.execute("UPDATE refresh_tokens SET expires_at = clock_timestamp() + interval '90 s'")
    assert (await program.refresh())["expires_in"] in (89, 90)  # no access token outlives it
    await database.pool.execute("UPDATE refresh_tokens SET expires_at = clock_timestamp()")
    assert (await program.refresh(status=401))["code"] == "invalid_grant"


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "ü" * 43, "\0" * 43, "x" * 900])
async def test_what_is_no_token_is_refused_like_one_that_is_over(program: Program, token: str) -> None:
    answer = await program.client.post("/api/auth/refresh", json={"refresh_token": token})
    assert answer.status_code in (400, 401)
    assert answer.json()["code"] in ("invalid_input", "invalid_json", "invalid_grant"), answer.text


async def test_a_token_that_is_given_back_ends_its_family(program: Program, database: Database) -> None:
    used = (await program.sign_in())["refresh_token"]
    newest = await program.refresh()
    assert (await program.revoke(used)).json()["status"] == "success"  # any of the family
    assert (await program.me()).status_code == 401
    await program.refresh(newest["refresh_token"], status=401)
    assert (await program.revoke("x" * 43)).status_code == 200
    assert (await program.revoke()).status_code == 200
    assert (await _audited(database)).count("tokens.revoked") == 1


async def test_what_is_revoked_while_a_token_is_exchanged_stays_revoked(program: Program, database: Database) -> None:
    """The statement that ends a family does not see the token that is being made."""
    await program.sign_in()
    await program.refresh()
    await database.pool.execute("UPDATE refresh_tokens SET revoked_at = clock_timestamp() WHERE used_at IS NOT NULL")
    await program.refresh(status=401)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE users SET disabled_at = clock_timestamp()", "UPDATE users SET erased_at = clock_timestamp()",
        "UPDATE users SET confirmed_at = NULL", "DELETE FROM memberships", "DELETE FROM users",
        "DELETE FROM workspaces", "UPDATE refresh_tokens SET revoked_at = clock_timestamp()",
    ],
    ids=["disabled", "erased", "unconfirmed", "left", "gone", "workspace gone", "revoked"],
)  # fmt: skip
async def test_who_may_no_longer_is_refused_at_once(program: Program, database: Database, change: str) -> None:
    await program.sign_in()
    await database.pool.execute(change)
    assert (await program.me()).status_code == 401
    assert (await program.refresh(status=401))["code"] == "invalid_grant"


async def test_a_new_role_counts_from_the_next_request_on(program: Program, database: Database) -> None:
    await program.sign_in()
    await database.pool.execute("UPDATE memberships SET role = $1", Role.VIEWER)
    assert (await program.me()).json()["role"] == "viewer"


async def test_neither_tokens_nor_passwords_are_stored_or_logged(
    program: Program, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = await program.sign_in()
    await program.sign_in(status=401, password="not this one at all")
    rows = await database.pool.fetch(
        "SELECT r::text AS said FROM refresh_tokens r UNION SELECT a::text FROM audit_log a"
    )
    said = caplog.text + "".join(row["said"] for row in rows)
    secrets: list[Any] = [tokens["refresh_token"], tokens["access_token"], PASSWORD, "not this one"]
    assert not [secret for secret in secrets if secret in said]


async def test_the_document_offers_to_sign_in_besides_keys(app: FastAPI) -> None:
    document = app.openapi()
    scheme = document["components"]["securitySchemes"]["OAuth2PasswordBearer"]
    assert scheme["flows"]["password"]["tokenUrl"] == "/api/auth/token"
    ways = document["paths"]["/api/events"]["get"]["security"]
    assert ways == [{"ApiKey": ["events:read"]}, {"OAuth2PasswordBearer": []}]
    (kind,) = document["paths"]["/api/auth/token"]["post"]["requestBody"]["content"]
    assert kind == "application/x-www-form-urlencoded"
    assert app.openapi() == document


async def _audited(database: Database) -> list[str]:
    return [row["action"] for row in await database.pool.fetch("SELECT action FROM audit_log ORDER BY id")]
