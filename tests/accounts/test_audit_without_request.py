"""What nobody asked for over HTTP is in the audit log too: Janus by itself, and commands on the server."""

import json
import uuid
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from janus_mail.routing.environment import keep_environment_provider
from janus_mail.routing.rotate import rotate
from janus_mail.settings import Settings
from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox
from tests.conftest import TEST_KEY

BOX = SecretBox([TEST_KEY])


async def log(database: Database) -> list[dict[str, Any]]:
    rows = await database.pool.fetch("SELECT * FROM audit_log ORDER BY id")
    return [dict(row) for row in rows]


@pytest.fixture
def mail(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "mail_server": "smtp.example.com", "mail_username": "ann", "mail_password": SecretStr("hunter2hunter2"),
            "mail_default_sender": "ann@example.com",
        }
    )  # fmt: skip


async def test_the_provider_of_the_environment_comes_changes_goes_and_comes_back(
    database: Database, workspace_id: uuid.UUID, mail: Settings
) -> None:
    await keep_environment_provider(database, BOX, mail)
    await keep_environment_provider(database, BOX, mail)  # nothing to say
    other = mail.model_copy(update={"mail_server": "mx.example.com", "mail_password": SecretStr("hunter3hunter3")})
    await keep_environment_provider(database, BOX, other)
    await keep_environment_provider(database, BOX, mail.model_copy(update={"mail_server": None}))
    await keep_environment_provider(database, BOX, mail)

    entries = await log(database)
    assert [entry["action"] for entry in entries] == [
        "provider.created", "provider.changed", "provider.removed", "provider.created",
    ]  # fmt: skip
    assert {(entry["actor_kind"], entry["actor"], entry["object"]) for entry in entries} == {
        ("system", "Janus", "environment")
    }
    assert entries[1]["before"] == {"config.host": "smtp.example.com", "config.password": "••••"}
    assert entries[1]["after"] == {"config.host": "mx.example.com", "config.password": "•••• changed"}
    assert "hunter" not in json.dumps(entries, default=str)


async def test_sealing_all_settings_anew_is_one_entry_of_the_server(
    database: Database, workspace_id: uuid.UUID, mail: Settings
) -> None:
    await keep_environment_provider(database, BOX, mail)
    both = SecretBox([Fernet.generate_key().decode(), TEST_KEY])
    await rotate(database, both, dry_run=True)
    await rotate(database, both)
    await rotate(database, both)  # nothing to do

    (entry,) = [entry for entry in await log(database) if entry["action"] == "secrets.rotated"]
    assert (entry["workspace_id"], entry["actor_kind"]) == (None, "command")
    assert entry["after"] == {"renewed": 1, "lost": 0}
