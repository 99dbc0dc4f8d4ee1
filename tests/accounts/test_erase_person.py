"""Erasing a person: nothing says any more who they were, and what they did is still there."""

import json
import uuid
from typing import Any

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from janus_mail.accounts.erase_person import ERASED_NAME, erase_person, pseudonym
from janus_mail.accounts.sessions import open_session, prove_session
from janus_mail.audit.actors import COMMAND, Other
from janus_mail.audit.record import record
from janus_mail.errors import NotFound
from janus_mail.gate.links import make_link
from janus_mail.models.states import ActorKind, LinkPurpose
from janus_mail.storage.database import Database
from tests.people import add_person

MARA, OLD, OTHER = "Mara.Lind@example.com", "mara@old.example", "not-mara.lind@example.com"
INVITED_AS = "lind@work.example"


class Person:
    """Somebody who left traces everywhere."""

    def __init__(self, database: Database, workspace_id: uuid.UUID, user_id: uuid.UUID) -> None:
        self.database, self.workspace_id, self.user_id = database, workspace_id, user_id
        self.actor = Other(ActorKind.USER, MARA, user_id, "192.0.2.7")

    async def leave_traces(self) -> None:
        async with self.database.transaction() as connection:
            self.session = await open_session(
                connection, self.user_id, address="192.0.2.7", user_agent="test", lasts_s=3600
            )
            await make_link(connection, LinkPurpose.CHANGE_EMAIL, user_id=self.user_id, email=OTHER, lasts_s=60)
            await self._note("email.changed", self.user_id, OLD, before={"email": OLD.title()}, after={"email": MARA})
            await self._note("account.renamed", self.user_id, MARA, before={"name": "Mara L."}, after={"name": "Mara"})
            invited = {"email": MARA.lower(), "deep": [{"to": MARA, "note": f"for {OTHER}"}]}
            await self._note("member.invited", None, MARA.upper(), after=invited, by=COMMAND)
            joined = {"role": "editor", "invited_as": "ann@example.com", "invited_by": f"Mara Lind ({MARA})"}
            await self._note("member.joined", uuid7(), "ann@example.com", after=joined, by=COMMAND)
            mine = {"role": "editor", "invited_as": INVITED_AS, "invited_by": "Ann (ann@example.com)"}
            await self._note("member.joined", self.user_id, MARA, after=mine)
            await self._note("provider.changed", uuid7(), "SendGrid", before={"from_email": OTHER}, by=self.actor)
            await connection.execute(
                """INSERT INTO invitations (id, workspace_id, email, role, digest, invited_by, expires_at, accepted_at)
                   VALUES ($1, $2, $3, 'viewer', $4, 'Ann', clock_timestamp() + interval '1 day', NULL),
                          ($5, $2, $3, 'viewer', $6, 'Ann', clock_timestamp(), clock_timestamp()),
                          ($7, $2, $8, 'viewer', $9, $10, clock_timestamp() + interval '1 day', NULL),
                          ($11, $2, $12, 'editor', $13, 'Ann', clock_timestamp(), clock_timestamp())""",
                uuid7(), self.workspace_id, MARA, b"1", uuid7(), b"2", uuid7(), OTHER, b"3", f"Mara Lind ({MARA})",
                uuid7(), INVITED_AS, b"4",
            )  # fmt: skip
            await connection.execute(
                """INSERT INTO events (id, workspace_id, subject, text, expected_sent_at, priority, recipients_count,
                                       failover, on_uncertain, first_recipients, counts, created_by)
                   VALUES ($1, $3, 'x', 'x', clock_timestamp(), 1, 1, true, 'resend', '[]', '{}', $4),
                          ($2, $3, 'x', 'x', clock_timestamp(), 1, 1, true, 'resend', '[]', '{}', $5)""",
                uuid7(), uuid7(), self.workspace_id, MARA, OTHER,
            )  # fmt: skip
            await connection.execute(
                """INSERT INTO api_keys (id, workspace_id, name, prefix, digest, scopes, created_by)
                   VALUES ($1, $2, 'ci', 'abcdefghij', 'x', '{}', $3)""",
                uuid7(), self.workspace_id, MARA,
            )  # fmt: skip
            for n, source in enumerate((MARA, f"{MARA}: import", f"{OTHER}: wrote to {OTHER}")):
                await connection.execute(
                    """INSERT INTO suppressions (id, workspace_id, address, reason, source)
                       VALUES ($1, $2, $3, 'manual', $4)""",
                    uuid7(), self.workspace_id, f"{n}@example.org", source,
                )  # fmt: skip

    async def _note(
        self, action: str, object_id: uuid.UUID | None, name: str, *, by: Other | None = None, **values: Any
    ) -> None:
        async with self.database.transaction() as connection:
            await record(
                connection, by or self.actor, action, "user", object_id, workspace_id=self.workspace_id, name=name,
                **values,
            )  # fmt: skip

    async def erase(self, by: Other = COMMAND) -> None:
        async with self.database.transaction() as connection:
            await erase_person(connection, by, self.user_id)

    async def everything(self) -> str:
        """Every row of every table, as text."""
        tables = await self.database.pool.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
        )
        said = []
        for table in tables:
            rows = await self.database.pool.fetch(f"SELECT t::text AS said FROM {table['tablename']} t")
            said += [f"{table['tablename']}: {row['said']}" for row in rows]
        return "\n".join(said)


@pytest.fixture
async def person(database: Database, workspace_id: uuid.UUID) -> Person:
    user_id = await add_person(
        database, MARA, workspace_id=workspace_id, name="Mara Lind", administrator=True, password_digest="x"
    )
    person = Person(database, workspace_id, user_id)
    await person.leave_traces()
    return person


async def test_their_name_and_addresses_are_nowhere_any_more(person: Person) -> None:
    assert MARA in await person.everything()
    await person.erase()
    left = [line for line in (await person.everything()).splitlines() if not line.startswith("alembic")]
    for trace in (MARA, OLD, INVITED_AS, "Mara", "192.0.2.7"):
        bare = [line for line in left if trace.lower() in line.lower().replace(OTHER, "")]
        assert bare == [], trace


async def test_an_address_that_only_contains_theirs_stays(person: Person) -> None:
    await person.erase()
    assert (await person.everything()).count(OTHER) == 6  # two values, an invitation, an event, two in a source


async def test_the_row_stays_so_that_what_they_did_has_an_author(person: Person) -> None:
    await person.erase()
    row = await person.database.pool.fetchrow("SELECT * FROM users WHERE id = $1", person.user_id)
    assert row is not None
    assert (row["email"], row["name"]) == (pseudonym(person.user_id), ERASED_NAME)
    assert row["erased_at"] is not None
    assert not row["administrator"]
    assert (row["password_digest"], row["totp_secret"]) == (None, None)
    entry = await person.database.pool.fetchrow("SELECT * FROM audit_log WHERE action = 'provider.changed'")
    assert entry is not None
    assert (entry["actor_id"], entry["actor"]) == (person.user_id, pseudonym(person.user_id))
    assert entry["object"] == "SendGrid"
    assert entry["before"] == {"from_email": OTHER}


async def test_values_stay_json_of_the_same_shape(person: Person) -> None:
    await person.erase()
    after = await person.database.pool.fetchval("SELECT after FROM audit_log WHERE action = 'member.invited'")
    instead = pseudonym(person.user_id)
    assert after == {"email": instead, "deep": [{"to": instead, "note": f"for {OTHER}"}]}
    json.dumps(after)


async def test_nothing_of_theirs_opens_anything(person: Person) -> None:
    await person.erase()
    assert await prove_session(person.database, person.session, address="") is None
    for table in ("sessions", "memberships", "account_links", "recovery_codes", "refresh_tokens"):
        assert await person.database.pool.fetchval(f"SELECT count(*) FROM {table}") == 0, table


@pytest.mark.parametrize("themselves", [True, False])
async def test_that_it_was_done_is_noted_without_saying_to_whom(person: Person, themselves: bool) -> None:
    await person.erase(person.actor if themselves else COMMAND)
    entry = await person.database.pool.fetchrow("SELECT * FROM audit_log WHERE action = 'person.erased'")
    assert entry is not None
    assert entry["object_id"] == person.user_id
    assert entry["object"] == pseudonym(person.user_id)
    assert entry["actor"] == (pseudonym(person.user_id) if themselves else COMMAND.label)
    assert entry["address"] is None


async def test_the_audit_log_can_still_not_be_changed_afterwards(person: Person) -> None:
    async with person.database.transaction() as connection:
        await erase_person(connection, COMMAND, person.user_id)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with connection.transaction():
                await connection.execute("UPDATE audit_log SET actor = 'x'")


async def test_who_is_gone_is_not_erased_twice(person: Person) -> None:
    await person.erase()
    with pytest.raises(NotFound):
        await person.erase()


async def test_the_address_is_free_for_a_new_account(person: Person) -> None:
    await person.erase()
    assert await add_person(person.database, MARA) != person.user_id


@pytest.mark.parametrize("address", ['a"b@example.com', "a.*@example.com", "a\\b@example.com", "mära@exämple.com"])
async def test_an_address_with_strange_characters_is_found_and_nothing_else(
    database: Database, workspace_id: uuid.UUID, address: str
) -> None:
    user_id = await add_person(database, address)
    async with database.transaction() as connection:
        await record(
            connection, COMMAND, "x.y", "x", workspace_id=workspace_id, after={"a": address, "b": "axy@example.com"}
        )
        await erase_person(connection, COMMAND, user_id)
    after = await database.pool.fetchval("SELECT after FROM audit_log WHERE action = 'x.y'")
    assert after == {"a": pseudonym(user_id), "b": "axy@example.com"}


async def test_an_address_that_somebody_else_has_by_now_is_left_to_them(person: Person) -> None:
    await add_person(person.database, OLD)
    await person.erase()
    assert await person.database.pool.fetchval("SELECT count(*) FROM users WHERE email = $1", OLD) == 1
    assert OLD in await person.everything()
