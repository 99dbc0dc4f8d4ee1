"""No secret of anything that is changed reaches the audit log, what is kept of requests, or the process's log."""

import json
from typing import Any, get_args

import httpx
import pytest
from pydantic import SecretStr

from janus_mail.audit.masking import CHANGED, HIDDEN, difference, masked, named_like_a_secret, secrets_of
from janus_mail.providers.registry import KINDS
from janus_mail.storage.database import Database


def secrets_of_kind(kind: str) -> dict[str, str]:
    """A value of every field that its schema has as a secret."""
    fields = KINDS[kind].config_model.model_fields.items()
    return {
        name: str((field.examples or ["correct-horse"])[0]).replace("…", "QpZ3")
        for name, field in fields if SecretStr in (field.annotation, *get_args(field.annotation))
    }  # fmt: skip


def other(value: str) -> str:
    """Another one of the same form: two of its characters change places."""
    at = next(n for n in range(len(value) - 3, 0, -1) if value[n].isalnum() and value[n + 1].isalnum()
              and value[n] != value[n + 1])  # fmt: skip
    return value[:at] + value[at + 1] + value[at] + value[at + 2 :]


@pytest.mark.parametrize("kind", KINDS)
async def test_no_secret_of_a_provider_is_written_down_anywhere(
    api: httpx.AsyncClient, database: Database, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    first = secrets_of_kind(kind)
    second = {name: other(value) for name, value in first.items()}
    plain: dict[str, Any] = {"host": "smtp.example.com", "username": "ann"} if kind == "smtp" else {}
    made = await api.post(
        "/api/providers?verify=false", headers={"Idempotency-Key": "once"},
        json={"kind": kind, "name": "X", "sandbox": True, "config": plain | first},
    )  # fmt: skip
    assert made.status_code == 201, made.text
    path = f"/api/providers/{made.json()['id']}"
    assert (await api.patch(path + "?verify=false", json={"config": plain | second})).status_code == 200
    assert (await api.patch(path, json={"config": plain | dict.fromkeys(second)})).status_code in (200, 400)
    assert (await api.delete(path)).status_code == 200
    rows = await database.pool.fetch("SELECT action, before, after FROM audit_log WHERE object_kind = 'provider'")
    assert [row["action"] for row in rows if row["action"] != "provider.changed"] == [
        "provider.created", "provider.removed",
    ]  # fmt: skip
    created, changed = rows[0], rows[1]
    for name in first:
        assert created["after"][f"config.{name}"] == HIDDEN
        assert (changed["before"][f"config.{name}"], changed["after"][f"config.{name}"]) == (HIDDEN, CHANGED)
    written = json.dumps(
        [
            [dict(row) for row in await database.pool.fetch(f"SELECT * FROM {table}")]
            for table in ("audit_log", "idempotency_keys")
        ],
        default=str,
    )
    for secret in (*first.values(), *second.values()):
        assert secret not in written
        assert secret not in caplog.text


@pytest.mark.parametrize(
    "name",
    ["password", "new_password", "webhook_secret", "server_token", "api_key", "webhook_key", "totp_secret",
     "recovery_codes", "secret_access_key", "private_key", "Authorization", "key_digest"],
)  # fmt: skip
def test_a_field_that_is_called_like_a_secret_is_one(name: str) -> None:
    assert named_like_a_secret(name)
    assert masked({name: "hunter2"}) == {name: HIDDEN}


@pytest.mark.parametrize("name", ["name", "from_email", "rate_per_second", "role", "monkey", "scopes", "compass"])
def test_any_other_field_is_shown(name: str) -> None:
    assert not named_like_a_secret(name)


def test_of_an_unknown_kind_everything_is_a_secret() -> None:
    assert secrets_of("carrier-pigeon", {"coop": "north"}) == {"coop"}


def test_the_difference_has_what_differs_and_of_secrets_only_that() -> None:
    before = {"name": "A", "rate": 1, "password": "a", "token": None, "api_key": "x"}
    after = {"name": "A", "rate": None, "password": "b", "token": "t", "api_key": None}
    was, now = difference(before, after)
    assert was == {"rate": 1, "password": HIDDEN, "token": None, "api_key": HIDDEN}
    assert now == {"rate": None, "password": CHANGED, "token": HIDDEN, "api_key": None}


def test_a_secret_within_a_value_is_hidden_too() -> None:
    assert masked({"headers": {"Authorization": "Bearer x", "Accept": "json"}}) == {
        "headers": {"Authorization": HIDDEN, "Accept": "json"}
    }
