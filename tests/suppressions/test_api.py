"""The list over HTTP: adding, finding, removing, and whose list it is."""

import uuid
from datetime import UTC, datetime

import httpx
import pytest

from janus_mail.keys.key import create_key
from janus_mail.storage.database import Database
from tests.events.conftest import Schedule
from tests.suppressions.conftest import Suppress, rows

LIST = "/api/suppressions"


async def test_addresses_are_added_with_who_said_so_and_answered_as_they_stand(
    api: httpx.AsyncClient, listed: Suppress
) -> None:
    await listed("bob@example.org")
    body = {"addresses": ["Ann@Bücher.example", "bob@example.org", "ann@bücher.example"], "note": "by phone"}
    answer = await api.post(LIST, json=body)
    assert answer.status_code == 201
    said = answer.json()
    assert (said["status"], said["added"], said["message"]) == ("success", 1, "1 address is new to the list.")
    ann, bob = said["data"]
    assert (ann["address"], ann["reason"]) == ("ann@xn--bcher-kva.example", "manual")
    assert ann["source"] == "API key test: by phone"
    assert (bob["reason"], bob["source"]) == ("hard_bounce", "SendGrid")
    assert abs((datetime.fromisoformat(ann["since"]) - datetime.now(UTC)).total_seconds()) < 60


async def test_the_first_address_that_is_none_stops_all_of_them_and_each_is_named(
    api: httpx.AsyncClient, database: Database
) -> None:
    answer = await api.post(LIST, json={"addresses": ["ann@example.org", "nobody", "x@y@z"]})
    assert answer.status_code == 400
    error = answer.json()
    assert (error["code"], error["error"]) == ("invalid_addresses", "Invalid emails: nobody, x@y@z")
    assert [detail["field"] for detail in error["details"]] == ["addresses[1]", "addresses[2]"]
    assert await rows(database) == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"addresses": []},
        {"addresses": "ann@example.org"},
        {"addresses": ["a@b.example"] * 1001},
        {"addresses": ["ann@example.org"], "reason": "because"},
        {"addresses": ["ann@example.org"], "note": "two\nlines"},
        {"addresses": ["ann@example.org"], "note": "x" * 121},
        {"addresses": ["ann@example.org"], "since": "2026-01-01"},
    ],
)
async def test_a_body_that_is_not_as_described_is_refused(api: httpx.AsyncClient, body: object) -> None:
    answer = await api.post(LIST, json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


async def test_the_same_key_adds_once_and_answers_the_same(api: httpx.AsyncClient, database: Database) -> None:
    headers, body = {"Idempotency-Key": "once"}, {"addresses": ["ann@example.org"]}
    first = await api.post(LIST, json=body, headers=headers)
    await api.delete(f"{LIST}/ann@example.org")
    again = await api.post(LIST, json=body, headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await rows(database) == []


async def test_an_entry_is_read_and_removed_by_its_id_or_its_address(api: httpx.AsyncClient, listed: Suppress) -> None:
    odd = "a/b+c=d%e?f#g@example.org"
    await listed("ann@example.org", odd)
    (entry,) = (await api.get(LIST, params={"q": "ANN@"})).json()["data"]
    assert (await api.get(f"{LIST}/{entry['id']}")).json() == entry
    assert (await api.get(f"{LIST}/Ann@EXAMPLE.org")).json() == entry
    assert (await api.delete(f"{LIST}/{entry['id']}")).json() == entry
    assert (await api.get(f"{LIST}/ann@example.org")).status_code == 404
    assert (await api.delete(f"{LIST}/{entry['id']}")).status_code == 404
    escaped = odd.replace("%", "%25").replace("/", "%2F").replace("?", "%3F").replace("#", "%23")
    assert (await api.delete(f"{LIST}/{escaped}")).json()["address"] == odd
    assert (await api.get(LIST)).json()["data"] == []


@pytest.mark.parametrize("named", ["nobody", "import/", "0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a01", "ann@example.org"])
async def test_what_is_not_on_the_list_is_not_there(api: httpx.AsyncClient, named: str) -> None:
    for method in ("GET", "DELETE"):
        answer = await api.request(method, f"{LIST}/{named}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_the_files_have_the_methods_they_have(api: httpx.AsyncClient) -> None:
    for method, path, allowed in (("GET", "import", "POST"), ("DELETE", "import", "POST"), ("POST", "export", "GET")):
        answer = await api.request(method, f"{LIST}/{path}")
        assert (answer.status_code, answer.headers["Allow"]) == (405, allowed), path


async def test_the_list_comes_in_pages_that_stay_right_while_addresses_are_added(
    api: httpx.AsyncClient, listed: Suppress
) -> None:
    for number in range(5):
        await listed(f"person{number}@example.org")
    page = (await api.get(LIST, params={"limit": 2})).json()
    await listed("late@example.org")
    seen = [entry["address"] for entry in page["data"]]
    while page["has_more"]:
        page = (await api.get(LIST, params={"limit": 2, "cursor": page["next_cursor"]})).json()
        seen += [entry["address"] for entry in page["data"]]
    assert seen == [f"person{number}@example.org" for number in (4, 3, 2, 1, 0)]
    assert page["next_cursor"] is None


async def test_the_list_is_filtered_by_a_part_of_the_address_and_by_the_reason(
    api: httpx.AsyncClient, listed: Suppress
) -> None:
    await listed("ann@example.org", "ann_x@example.net")
    await listed("bob@example.org", reason="complaint")

    async def found(**params: str) -> set[str]:
        answer = await api.get(LIST, params=params)
        assert answer.status_code == 200, answer.text
        return {entry["address"] for entry in answer.json()["data"]}

    assert await found(q="@example.org") == {"ann@example.org", "bob@example.org"}
    assert await found(q="ANN") == {"ann@example.org", "ann_x@example.net"}
    assert await found(q="n_x") == {"ann_x@example.net"}  # no pattern
    assert await found(q="%") == set()
    assert await found(reason="complaint") == {"bob@example.org"}
    assert await found(reason="complaint", q="ann") == set()
    for wrong in ({"reason": "because"}, {"q": ""}, {"address": "ann"}, {"cursor": "x"}):
        assert (await api.get(LIST, params=wrong)).status_code == 400


async def test_an_entry_leads_to_the_event_of_its_mail_as_long_as_that_is_kept(
    api: httpx.AsyncClient, listed: Suppress, schedule: Schedule, database: Database
) -> None:
    event = await schedule(recipients="ann@example.org")
    message = (await api.get("/api/messages")).json()["data"][0]
    await listed("ann@example.org", message_id=uuid.UUID(message["id"]))
    entry = (await api.get(f"{LIST}/ann@example.org")).json()
    assert (entry["message_id"], entry["event_id"]) == (message["id"], event["id"])
    await database.pool.execute("DELETE FROM events")
    entry = (await api.get(f"{LIST}/ann@example.org")).json()
    assert (entry["message_id"], entry["event_id"]) == (message["id"], None)


async def test_a_workspace_sees_and_changes_its_own_list_alone(
    api: httpx.AsyncClient, stranger: httpx.AsyncClient, listed: Suppress
) -> None:
    await listed("ann@example.org")
    (entry,) = (await api.get(LIST)).json()["data"]
    assert (await stranger.get(LIST)).json()["data"] == []
    assert (await stranger.get(f"{LIST}/{entry['id']}")).status_code == 404
    assert (await stranger.delete(f"{LIST}/{entry['id']}")).status_code == 404
    assert "ann@" not in (await stranger.get(f"{LIST}/export")).text
    assert (await stranger.post(LIST, json={"addresses": ["ann@example.org"]})).json()["added"] == 1
    assert (await api.get(LIST)).json()["data"] == [entry]


@pytest.mark.usefixtures("workspace_id")
async def test_reading_the_list_does_not_mean_changing_it(api: httpx.AsyncClient, database: Database) -> None:
    key = await create_key(database, workspace="default", name="reader", scopes=["events:read"])
    headers = {"Authorization": f"Bearer {key}"}
    assert (await api.get(LIST, headers=headers)).status_code == 200
    assert (await api.get(f"{LIST}/export", headers=headers)).status_code == 200
    body = {"addresses": ["ann@example.org"]}
    assert (await api.post(LIST, json=body, headers=headers)).status_code == 403
    csv = {**headers, "Content-Type": "text/csv"}
    assert (await api.post(f"{LIST}/import", content="a@b.example", headers=csv)).status_code == 403
    assert (await api.delete(f"{LIST}/ann@example.org", headers=headers)).status_code == 403
    for method, path in (("GET", ""), ("GET", "/export"), ("POST", ""), ("POST", "/import"), ("DELETE", "/a@b.c")):
        answer = await api.request(method, LIST + path, headers={"Authorization": "Bearer wrong"})
        assert answer.status_code == 401, path
