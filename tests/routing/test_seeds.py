import asyncio
import uuid
from typing import Any

import httpx
import pytest

from janus_mail.routing.create import create_provider
from janus_mail.routing.environment import keep_environment_provider
from janus_mail.routing.seed import seed_default_workspace, seed_development, seed_workspace
from janus_mail.settings import Settings, SettingsError
from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox

MAIL = {
    "mail_server": "smtp.example.com",
    "mail_port": 2525,
    "mail_username": "ann",
    "mail_password": "a-long-password",
    "mail_default_sender": "Ann Lee <ann@example.com>",
}


def with_mail(settings: Settings, **changes: object) -> Settings:
    """The settings as they are with these MAIL_* variables; None: not set."""
    mail = {name: value for name, value in {**MAIL, **changes}.items() if value is not None}
    return Settings.model_validate({**settings.model_dump(exclude_unset=True), **mail})


async def route(database: Database) -> list[str]:
    rows = await database.pool.fetch("SELECT name FROM providers WHERE deleted_at IS NULL ORDER BY position")
    return [row["name"] for row in rows]


async def environment(database: Database) -> dict[str, Any]:
    rows = await database.pool.fetch("SELECT * FROM providers WHERE from_environment")
    assert len(rows) == 1
    return dict(rows[0])


async def test_development_starts_with_three_sandbox_providers(database: Database, secrets: SecretBox) -> None:
    await seed_development(database, secrets)

    workspace = await database.pool.fetchrow("SELECT name, from_email, from_name FROM workspaces")
    rows = await database.pool.fetch("SELECT kind, name, sandbox, config FROM providers ORDER BY position")
    assert workspace is not None
    assert tuple(workspace) == ("default", "janus@example.com", "Janus")
    assert [(row["kind"], row["name"], row["sandbox"], secrets.open(row["config"])) for row in rows] == [
        ("ses", "Amazon SES", True, {}),
        ("smtp", "Google SMTP", True, {"preset": "gmail"}),
        ("sendgrid", "SendGrid", True, {}),
    ]


async def test_a_second_start_keeps_what_the_owner_made_of_it(database: Database, secrets: SecretBox) -> None:
    await seed_development(database, secrets)
    await database.pool.execute("UPDATE workspaces SET from_email = 'me@example.com'")
    await database.pool.execute("UPDATE providers SET name = 'Mine', enabled = false WHERE kind = 'ses'")
    await database.pool.execute("UPDATE providers SET deleted_at = now() WHERE kind <> 'ses'")

    await seed_development(database, secrets)

    assert await route(database) == ["Mine"]
    assert await database.pool.fetchval("SELECT from_email FROM workspaces") == "me@example.com"
    await database.pool.execute("UPDATE providers SET deleted_at = now()")
    await seed_development(database, secrets)
    assert await route(database) == []


async def test_processes_that_start_together_seed_once(
    database: Database, secrets: SecretBox, settings: Settings
) -> None:
    mail = with_mail(settings)
    await asyncio.gather(
        *(seed_development(database, secrets) for _ in range(4)),
        *(keep_environment_provider(database, secrets, mail) for _ in range(4)),
    )

    assert await route(database) == ["environment", "Amazon SES", "Google SMTP", "SendGrid"]


async def test_production_starts_with_an_empty_workspace(database: Database) -> None:
    made = await seed_default_workspace(database)

    assert made == await seed_default_workspace(database)
    rows = await database.pool.fetch("SELECT id, name, from_email FROM workspaces")
    assert [tuple(row) for row in rows] == [(made, "default", None)]
    assert await route(database) == []


async def test_a_workspace_is_seeded_under_any_name(database: Database) -> None:
    made = await seed_workspace(database, "acme", from_email="hi@acme.example", from_name="Acme")

    assert made == await seed_workspace(database, "acme", from_email="other@acme.example")
    assert await database.pool.fetchval("SELECT from_email FROM workspaces WHERE id = $1", made) == "hi@acme.example"


async def test_mail_settings_make_the_first_provider_of_the_route(
    database: Database, secrets: SecretBox, settings: Settings
) -> None:
    workspace_id = await seed_development(database, secrets)

    provider_id = await keep_environment_provider(database, secrets, with_mail(settings))

    assert await route(database) == ["environment", "Amazon SES", "Google SMTP", "SendGrid"]
    made = await environment(database)
    assert (made["id"], made["workspace_id"], made["kind"], made["sandbox"]) == (
        provider_id, workspace_id, "smtp", False,
    )  # fmt: skip
    assert (made["from_email"], made["from_name"]) == ("ann@example.com", "Ann Lee")
    assert secrets.open(made["config"]) == {
        "host": "smtp.example.com", "port": 2525, "security": "starttls", "username": "ann",
        "password": "a-long-password",
    }  # fmt: skip


async def test_mail_settings_make_the_workspace_where_there_is_none(
    database: Database, secrets: SecretBox, settings: Settings
) -> None:
    await keep_environment_provider(database, secrets, with_mail(settings))
    assert await route(database) == ["environment"]

    await seed_development(database, secrets)
    assert await route(database) == ["environment", "Amazon SES", "Google SMTP", "SendGrid"]
    assert await database.pool.fetchval("SELECT from_email FROM workspaces") == "janus@example.com"


@pytest.mark.parametrize(
    ("variables", "security", "port"),
    [
        ({"mail_use_tls": "true"}, "starttls", None),
        ({"mail_use_ssl": "true"}, "tls", None),
        ({"mail_use_tls": "false"}, "none", None),
        ({"mail_use_tls": "false", "mail_port": 25}, "none", 25),
    ],
)
async def test_tls_follows_the_settings_and_the_port_follows_tls(
    database: Database,
    secrets: SecretBox,
    settings: Settings,
    variables: dict[str, Any],
    security: str,
    port: int | None,
) -> None:
    await keep_environment_provider(database, secrets, with_mail(settings, **{"mail_port": None, **variables}))

    config = secrets.open((await environment(database))["config"])
    assert (config["security"], config.get("port")) == (security, port)


async def test_a_later_start_keeps_step_with_the_settings_and_keeps_the_owners_order(
    database: Database, secrets: SecretBox, settings: Settings
) -> None:
    await seed_development(database, secrets)
    provider_id = await keep_environment_provider(database, secrets, with_mail(settings))
    await database.pool.execute("UPDATE providers SET position = 9, enabled = false WHERE from_environment")
    before = await environment(database)

    await keep_environment_provider(database, secrets, with_mail(settings))
    assert await environment(database) == before
    await keep_environment_provider(
        database, secrets, with_mail(settings, mail_password="another-one", mail_default_sender="bob@example.com")
    )

    after = await environment(database)
    assert (after["id"], after["position"], after["enabled"]) == (provider_id, 9, False)
    assert secrets.open(after["config"])["password"] == "another-one"
    assert (after["from_email"], after["from_name"]) == ("bob@example.com", None)
    assert after["version"] > before["version"]


async def test_without_mail_server_the_provider_leaves_the_route_and_comes_back_first(
    database: Database, secrets: SecretBox, settings: Settings
) -> None:
    await seed_development(database, secrets)
    first = await keep_environment_provider(database, secrets, with_mail(settings))
    await database.pool.execute("UPDATE providers SET position = 9 WHERE from_environment")

    assert await keep_environment_provider(database, secrets, settings) is None
    assert await route(database) == ["Amazon SES", "Google SMTP", "SendGrid"]
    assert await keep_environment_provider(database, secrets, settings) is None

    assert await keep_environment_provider(database, secrets, with_mail(settings)) == first
    assert await route(database) == ["environment", "Amazon SES", "Google SMTP", "SendGrid"]


async def test_without_mail_settings_nothing_is_made(
    database: Database, secrets: SecretBox, settings: Settings
) -> None:
    assert await keep_environment_provider(database, secrets, settings) is None
    assert await database.pool.fetchval("SELECT count(*) FROM workspaces") == 0


async def test_a_config_sealed_with_a_lost_key_is_sealed_anew(
    database: Database, secrets: SecretBox, settings: Settings
) -> None:
    await keep_environment_provider(database, SecretBox(["q" * 43 + "="]), with_mail(settings))

    await keep_environment_provider(database, secrets, with_mail(settings))

    assert secrets.open((await environment(database))["config"])["password"] == "a-long-password"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"mail_default_sender": "not-an-address"}, "MAIL_DEFAULT_SENDER: "),
        ({"mail_server": "smtp example.com"}, "MAIL_SERVER: "),
        ({"mail_username": "a\nb"}, "MAIL_USERNAME: "),
        ({"mail_password": None}, "MAIL_PASSWORD: Username and password"),
    ],
)
async def test_mail_settings_that_make_no_provider_name_the_variable(
    database: Database, secrets: SecretBox, settings: Settings, variables: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        await keep_environment_provider(database, secrets, with_mail(settings, **variables))

    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)
    assert await database.pool.fetchval("SELECT count(*) FROM workspaces") == 0


async def test_the_environments_provider_can_be_switched_and_moved_but_not_renamed(
    api: httpx.AsyncClient, database: Database, secrets: SecretBox, settings: Settings, workspace_id: uuid.UUID
) -> None:
    provider_id = await keep_environment_provider(database, secrets, with_mail(settings))
    other = await create_provider(database, secrets, workspace_id, kind="ses", name="SES", sandbox=True)
    path = f"/api/providers/{provider_id}"

    for patch in ({"name": "Mine"}, {"from_email": "me@example.com"}, {"from_name": "Me"}):
        answer = await api.patch(path, json={**patch, "enabled": False})
        assert (answer.status_code, answer.json()["code"]) == (409, "kept_by_environment")
        assert "MAIL_*" in answer.json()["error"]
    assert (await api.get(path)).json()["enabled"]
    assert (await api.patch(path, json={"enabled": False})).json()["enabled"] is False
    order = await api.post("/api/providers/order", json={"order": [str(other), str(provider_id)]})
    assert order.is_success
    assert await route(database) == ["SES", "environment"]
