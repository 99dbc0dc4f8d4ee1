import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from redis.asyncio import Redis

from janus_mail.keys.key import create_key
from janus_mail.routing.seed import seed_workspace
from janus_mail.storage.database import Database
from janus_mail.worker import WorkerProcess

EVENT = {
    "email_subject": "Hello World",
    "email_content": "This is a test email.",
    "expected_sent_at": "2030-07-15T10:00:00Z",
    "recipients": "test@example.com",
}
NOW = {"expected_sent_at": "now"}

View = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
def view(form: httpx.AsyncClient, api_key: str) -> View:
    async def get(**query: str) -> httpx.Response:
        return await form.get("/view_sent_emails/", params={"TOKEN": api_key, **query})

    return get


async def send(api: httpx.AsyncClient, **changes: Any) -> None:
    """Schedule for now, and wait until it is over."""
    answer = await api.post("/api/events", json={**EVENT, **NOW, **changes}, headers={"Prefer": "wait=5"})
    assert answer.json()["event"]["status"] in ("sent", "failed"), answer.text


async def test_an_empty_workspace_has_one_empty_page(view: View) -> None:
    answer = await view()

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"count": 0, "next": None, "previous": None, "results": []}


async def test_a_scheduled_event_shows_a_row_a_message(
    api: httpx.AsyncClient, view: View, sandboxes: Mapping[str, uuid.UUID]
) -> None:
    await api.post("/api/events", json={**EVENT, "recipients": "a@example.com, b@example.com", "provider": "SendGrid"})

    body = (await view()).json()

    assert body["count"] == 2
    assert [row["to_email"] for row in body["results"]] == ["b@example.com", "a@example.com"]
    row = body["results"][0]
    assert set(row) == {
        "id", "from_email", "to_email", "subject", "body_text", "sent_via", "created", "status", "error",
    }  # fmt: skip
    assert {name: row[name] for name in ("from_email", "subject", "body_text", "sent_via", "status", "error")} == {
        "from_email": "janus@example.com",
        "subject": "Hello World",
        "body_text": "This is a test email.",
        "sent_via": "send_grid",
        "status": "pending",
        "error": None,
    }
    assert row["created"].endswith("Z")


async def test_each_row_says_how_it_went_and_through_what(
    api: httpx.AsyncClient, view: View, database: Database, sandboxes: Mapping[str, uuid.UUID], worker: WorkerProcess
) -> None:
    await database.pool.execute("UPDATE providers SET from_email = 'ses@example.com' WHERE kind = 'ses'")
    for kind in ("ses", "smtp", "sendgrid"):
        await send(api, provider=kind)
    await send(api, recipients="bounced@example.com")
    later = (await api.post("/api/events", json=EVENT)).json()["event"]
    await api.delete(f"/api/events/{later['id']}")

    rows = (await view()).json()["results"]

    assert [(row["sent_via"], row["status"]) for row in rows] == [
        (None, "failed"),
        ("amazon_SES", "failed"),
        ("send_grid", "sent"),
        ("google_SMTP", "sent"),
        ("amazon_SES", "sent"),
    ]
    assert rows[0]["error"] == "It was canceled."
    assert "No such mailbox here" in rows[1]["error"]
    assert [row["error"] for row in rows[2:]] == [None, None, None]
    assert [row["from_email"] for row in rows[2:]] == ["janus@example.com", "janus@example.com", "ses@example.com"]


async def test_rows_show_what_each_recipient_reads(
    api: httpx.AsyncClient, view: View, sandboxes: Mapping[str, uuid.UUID]
) -> None:
    ann = {"email": "ann@example.com", "name": "Ann", "variables": {"plan": "<Pro>"}}
    await api.post(
        "/api/events",
        json={
            **EVENT,
            "email_subject": "For {{name}}",
            "email_content": None,
            "email_html": "<p>Your plan:</p><p>{{plan}}</p>",
            "recipients": [ann],
        },
    )

    (row,) = (await view()).json()["results"]

    assert row["subject"] == "For Ann"
    assert row["body_text"].split() == ["Your", "plan:", "<Pro>"]


async def test_pages_hold_ten_and_lead_to_each_other(
    api: httpx.AsyncClient, form: httpx.AsyncClient, view: View, sandboxes: Mapping[str, uuid.UUID]
) -> None:
    many = [f"r{number:02}@example.com" for number in range(21)]
    await api.post("/api/events", json={**EVENT, "recipients": many})

    first = (await view()).json()
    second = (await form.get(first["next"])).json()
    third = (await form.get(second["next"])).json()

    assert [first["count"], second["count"], third["count"]] == [21] * 3
    rows = [row["to_email"] for page in (first, second, third) for row in page["results"]]
    assert rows == many[::-1]
    assert [len(first["results"]), len(second["results"]), len(third["results"])] == [10, 10, 1]
    assert (first["previous"], third["next"]) == (None, None)
    assert (await form.get(second["previous"])).json() == first
    assert (await form.get(third["previous"])).json() == second
    assert urlsplit(first["next"])[:3] == ("http", "testserver", "/view_sent_emails/")


@pytest.mark.parametrize("page", ["0", "-1", "2", "x", "", "1.0", "१", "9" * 30])
async def test_a_page_that_is_not_there_is_404(view: View, page: str) -> None:
    answer = await view(page=page)

    assert (answer.status_code, answer.json()) == (404, {"detail": "Invalid page."})


async def test_another_workspaces_mail_does_not_show(
    api: httpx.AsyncClient, form: httpx.AsyncClient, database: Database, sandboxes: Mapping[str, uuid.UUID]
) -> None:
    await api.post("/api/events", json=EVENT)
    await seed_workspace(database, "other")
    other = await create_key(database, workspace="other", name="x")

    assert (await form.get("/view_sent_emails/", params={"TOKEN": other})).json()["count"] == 0


async def test_the_list_comes_from_redis_and_is_fresh_after_every_write(
    api: httpx.AsyncClient, view: View, sandboxes: Mapping[str, uuid.UUID]
) -> None:
    async def use() -> tuple[str, int, str | None]:
        answer = await view()
        rows = answer.json()["results"]
        return answer.headers["X-Cache"], len(rows), rows[0]["subject"] if rows else None

    assert [await use(), await use()] == [("miss", 0, None), ("hit", 0, None)]
    created = (await api.post("/api/events", json=EVENT)).json()["event"]
    assert [await use(), await use()] == [("miss", 1, "Hello World"), ("hit", 1, "Hello World")]
    changed = await api.patch(
        f"/api/events/{created['id']}", json={"email_subject": "Changed", "version": created["version"]}
    )
    assert changed.is_success
    assert await use() == ("miss", 1, "Changed")
    await api.delete(f"/api/events/{created['id']}")
    assert await use() == ("miss", 1, "Changed")


async def test_neither_the_token_nor_the_address_lies_in_redis(
    api: httpx.AsyncClient, view: View, redis: Redis, api_key: str, sandboxes: Mapping[str, uuid.UUID]
) -> None:
    await api.post("/api/events", json={**EVENT, "recipients": [f"r{number}@example.com" for number in range(11)]})
    assert api_key in (await view()).json()["next"]

    pages = [await redis.get(key) async for key in redis.scan_iter("janus:list:*")]
    assert any(b"r10@example.com" in page for page in pages)
    assert not any(api_key.encode() in page or b"testserver" in page for page in pages)
