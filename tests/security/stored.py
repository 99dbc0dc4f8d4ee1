"""A workspace in which everything that is stored says what an intruder would like it to say."""

import uuid
from collections.abc import Mapping
from email.message import EmailMessage
from email.policy import SMTP
from hashlib import sha256
from typing import Any, Final

import asyncpg
import httpx
from uuid_utils.compat import uuid7

from janus_mail.accounts.sessions import open_session
from janus_mail.keys.key import create_key
from janus_mail.models.states import Role
from janus_mail.storage.database import Database
from tests.pages.gallery import Gallery
from tests.people import add_person

# Path parameter → what stands there: a text, or a statement that finds it.
PLACES: Final[Mapping[str, str]] = {
    "event_id": "SELECT id FROM events WHERE jsonb_array_length(attachments) > 0",
    "message_id": "SELECT id FROM messages ORDER BY attempt_count DESC LIMIT 1",
    "provider_id": "SELECT provider_id FROM provider_incidents LIMIT 1",
    "mail_id": "SELECT id FROM captured_mails ORDER BY captured_at DESC LIMIT 1",
    "suppression_id": "SELECT id FROM suppressions LIMIT 1",
    "suppression": "SELECT id FROM suppressions LIMIT 1",
    "token": "SELECT hook_token FROM providers LIMIT 1",
    "key_id": "SELECT id FROM api_keys WHERE revoked_at IS NULL LIMIT 1",
    "user_id": "SELECT id FROM users WHERE NOT administrator LIMIT 1",
    "invitation_id": "SELECT id FROM invitations LIMIT 1",
    "workspace_id": "SELECT id FROM workspaces LIMIT 1",
    "session_id": "SELECT id FROM sessions LIMIT 1",
    "family_id": "SELECT family_id FROM refresh_tokens LIMIT 1",
    "up_to": "SELECT max(id::text) FROM captured_mails",
    "kind": "smtp",
    "place": "0",
    "doing": "disable",
    "name": "janus.css",
    "secret": "none",
    "/account/email/{secret} secret": f"{'change_email':_<43}",
    "/confirm/{secret} secret": f"{'confirm':_<43}",
    "/reset/{secret} secret": f"{'reset':_<43}",
    "/invitations/{secret} secret": f"{'invitation':_<43}",
}
# Columns whose words are ours, though no condition of the table says so: nobody can write something else there.
OURS: Final = {
    ("attempts", "outcome"),
    ("attempts", "provider_kind"),
    ("circuits", "sender_domain"),
    ("provider_incidents", "sender_domain"),
    ("providers", "hook_token"),
    ("providers", "kind"),
    ("providers", "verification"),
    ("workspaces", "language"),
    ("workspaces", "handle"),  # the one that anonymous visitors see is found by it
    ("api_keys", "scopes"),
    ("audit_log", "action"),
    ("audit_log", "object_kind"),
    ("users", "password_digest"),
    ("workspaces", "timezone"),
    ("events", "timezone"),
    ("events", "attachments"),
    ("events", "counts"),
    ("messages", "delivery_status"),
    ("messages", "message_id_header"),
}
# What must be an address to be mailed; this is one, and as strange as they come.
ADDRESS: Final = "o'{{1337*1337}}`=/${1337*1337}|@example.net"
_ADDRESSES: Final = {"from_email", "recipient"}
# A link opens something only as long as it is to its person's address.
_AGREE: Final = "UPDATE account_links l SET email = u.email FROM users u WHERE u.id = l.user_id"
_TEXTS: Final = """
    SELECT c.table_name, c.column_name FROM information_schema.columns c
    JOIN information_schema.tables t USING (table_schema, table_name)
    WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE' AND c.table_name <> 'alembic_version'
      AND c.is_generated = 'NEVER' AND (c.data_type IN ('text', 'character varying', 'jsonb')
           OR c.data_type = 'ARRAY' AND c.udt_name IN ('_text', '_varchar'))"""


async def places(database: asyncpg.Pool) -> dict[str, str]:
    """PLACES of what is stored now; what is not there is an id of nothing."""
    found = {}
    for name, where in PLACES.items():
        found[name] = str(await database.fetchval(where) or uuid7()) if where.startswith("SELECT") else where
    return found


async def people(database: Database, workspace_id: uuid.UUID) -> uuid.UUID:
    """An owner, who is the server's administrator too, another member, and whatever belongs to people. The owner."""
    owner = await add_person(database, "mara@example.com", workspace_id=workspace_id, administrator=True)
    member = await add_person(database, "bob@example.com", workspace_id=workspace_id, role=Role.EDITOR)
    newcomer = await add_person(database, "cai@example.com")
    await create_key(database, workspace="default", name="ci")
    async with database.transaction() as connection:
        for user_id in (owner, member):
            await open_session(connection, user_id, address="192.0.2.1", user_agent="Firefox", lasts_s=3600)
            await connection.execute(
                """INSERT INTO refresh_tokens (id, family_id, user_id, workspace_id, digest, address, user_agent,
                                               expires_at)
                   VALUES ($1, $1, $2, $3, $4, '', 'curl', clock_timestamp() + interval '1 day')""",
                uuid7(), user_id, workspace_id, user_id.bytes,
            )  # fmt: skip
        await connection.execute("UPDATE users SET confirmed_at = NULL WHERE id = $1", newcomer)
        await connection.execute(
            """INSERT INTO invitations (id, workspace_id, email, role, digest, invited_by, expires_at)
               VALUES ($1, $2, 'eve@example.com', 'editor', $3, 'Mara', clock_timestamp() + interval '1 day')""",
            uuid7(), workspace_id, sha256(f"{'invitation':_<43}".encode()).digest(),
        )  # fmt: skip
        for purpose, user_id in (("confirm", newcomer), ("reset", member), ("change_email", owner)):
            await connection.execute(
                """INSERT INTO account_links (id, purpose, user_id, email, digest, expires_at)
                   VALUES ($1, $2, $3, 'new@example.com', $4, clock_timestamp() + interval '1 day')""",
                uuid7(), purpose, user_id, sha256(f"{purpose:_<43}".encode()).digest(),
            )  # fmt: skip
        await connection.execute(_AGREE)
    return owner


async def send_in(api: httpx.AsyncClient, text: str) -> uuid.UUID:
    """An event that says `text` wherever a caller may."""
    event = {
        "email_subject": text, "email_content": text, "email_html": text, "expected_sent_at": "2029-01-01T00:00:00Z",
        "recipients": [{"email": "ann@example.net", "name": text, "variables": {"any": text}}],
        "from_name": text, "reply_to": [{"email": "help@example.net", "name": text}], "headers": {"X-Any": text},
        "tags": [text[:128]], "metadata": {text[:128]: text},
        "attachments": [{"filename": text.replace("/", "∕")[:255], "content_type": "text/html", "content": "PGI+"}],
    }  # fmt: skip
    answer = await api.post("/api/events", json=event)
    assert answer.status_code == 201, answer.text
    return uuid.UUID(answer.json()["event"]["id"])


async def caught(gallery: Gallery, text: str) -> None:
    """A mail in the mailbox whose every header and part says `text`."""
    mail = EmailMessage(policy=SMTP)
    for name in ("Subject", "X-Any", "Comments"):
        mail[name] = text
    mail["From"], mail["To"] = '"<script>" <a@example.com>', '"<img src=x onerror=alert()>" <b@example.com>'
    mail.set_content(text)
    mail.add_alternative(f"<p>{text}", subtype="html")
    mail.add_attachment(text.encode(), maintype="text", subtype="html", filename=text)
    pool = gallery.database.pool
    message_id = await pool.fetchval("SELECT id FROM messages WHERE workspace_id = $1 LIMIT 1", gallery.workspace_id)
    await pool.execute(
        """INSERT INTO captured_mails (id, workspace_id, message_id, attempt_id, provider_id, sender, recipients,
                                       subject, content) VALUES ($1, $2, $3, $4, $5, 'a', '{b}', $6, $7)""",
        uuid7(), gallery.workspace_id, message_id, uuid7(), next(iter(gallery.providers.values())), text, bytes(mail),
    )  # fmt: skip


async def spoil(pool: asyncpg.Pool, text: str) -> int:
    """Every text in every table says it from now on, but for words of ours; how many columns that are."""
    spoiled = 0
    async with pool.acquire() as connection, connection.transaction():
        for table, column in await connection.fetch(_TEXTS):
            if (table, column) in OURS:
                continue
            rows = await connection.fetch(
                f'SELECT ctid, "{column}" AS said FROM "{table}" WHERE "{column}" IS NOT NULL'
            )
            here = ADDRESS if column in _ADDRESSES else text
            changes = [
                (_spoiled(row["said"], here.replace("@", f"{n}@") if here is ADDRESS else f"{here} {n}"), row["ctid"])
                for n, row in enumerate(rows)
            ]
            try:
                async with connection.transaction():
                    await connection.execute(f'ALTER TABLE "{table}" DISABLE TRIGGER USER')
                    await connection.executemany(f'UPDATE "{table}" SET "{column}" = $1 WHERE ctid = $2', changes)
            except asyncpg.CheckViolationError:
                continue  # a list of words says what may stand there
            finally:
                await connection.execute(f'ALTER TABLE "{table}" ENABLE TRIGGER USER')
            spoiled += bool(rows)
        await connection.execute(_AGREE)
    return spoiled


def _spoiled(said: Any, text: str) -> Any:
    if isinstance(said, str):
        return text
    if isinstance(said, dict):
        return {key: _spoiled(value, ADDRESS if key == "email" else text) for key, value in said.items()}
    return [_spoiled(item, text) for item in said] if isinstance(said, list) else said
