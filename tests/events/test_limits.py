"""What services cannot carry is told when an event is accepted: refused, or routed around, or left in Janus."""

import base64
import uuid
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from janus_mail.content.files import guessed_type
from janus_mail.errors import InvalidInput
from janus_mail.events.rows import NewFile
from janus_mail.events.schemas import EventCreate
from janus_mail.events.understand import Facts, KnownProvider, understand
from tests.events.conftest import EVENT, AddProvider, Schedule

NOW = datetime(2026, 11, 21, 13, 30, tzinfo=UTC)
GIVEN = {"email_subject": "Hi", "email_content": "Hi", "expected_sent_at": "now", "recipients": "a@example.com"}


def provider(kind: str, name: str = "", **changes: Any) -> KnownProvider:
    given = {"id": uuid.uuid4(), "kind": kind, "name": name or kind, "enabled": True, "sandbox": False}
    return KnownProvider(**{**given, "from_email": None, **changes})


def file(name: str = "a.pdf", octets: int = 10, content_id: str | None = None) -> NewFile:
    return NewFile(name, guessed_type(name), content_id, bytes(octets), b"")


def warnings(*providers: KnownProvider, files: tuple[NewFile, ...] = (), **changes: Any) -> list[str]:
    facts = Facts(NOW, ZoneInfo("UTC"), "janus@example.com", None, "resend", list(providers))
    event = EventCreate.model_validate(GIVEN | changes)
    return understand(event, facts, workspace_id=uuid.uuid4(), created_by="a test", files=files).row.warnings


def test_a_plain_mail_goes_through_all_without_a_word() -> None:
    assert warnings(provider("postmark"), provider("brevo"), provider("smtp")) == []


def test_what_one_cannot_carry_goes_through_the_others_and_is_told() -> None:
    big = (file(octets=9_000_000),)
    assert warnings(provider("postmark", "P"), provider("smtp", "S"), files=big) == [
        "P cannot carry it (it takes up to 10 MB with the files in base64): it goes through the others."
    ]
    assert warnings(provider("postmark"), provider("smtp"), files=(file(octets=7_000_000),)) == []


def test_what_none_can_carry_is_refused_with_each_ones_reason() -> None:
    with pytest.raises(InvalidInput) as refused:
        warnings(provider("postmark", "P"), provider("brevo", "B"), files=(file(octets=16_000_000),))
    assert refused.value.code == "too_large"
    assert refused.value.message == (
        "No provider of its route can carry this email. "
        "P: it takes up to 10 MB with the files in base64; B: it takes up to 20 MB with the files in base64."
    )
    assert [detail.field for detail in refused.value.details] == ["attachments"] * 2


def test_another_kind_of_provider_is_no_way_out() -> None:
    big = {"files": (file(octets=9_000_000),)}
    for others in (
        [provider("smtp", enabled=False)],
        [provider("smtp", sandbox=True)],
        [],
    ):
        with pytest.raises(InvalidInput):
            warnings(provider("postmark"), *others, **big)
    with pytest.raises(InvalidInput):
        warnings(provider("postmark"), provider("smtp"), **big, provider="postmark", failover=False)
    assert warnings(**big) == ["No provider is configured yet: the mail waits until there is one."]


@pytest.mark.parametrize(
    ("kind", "changes", "files", "field"),
    [
        ("brevo", {"email_html": "<p>"}, (file("l.png", content_id="l"),), "attachments[0]"),
        ("brevo", {}, (file(), file("März.pdf")), "attachments[1]"),
        ("postmark", {}, (file("x.exe"),), "attachments[0]"),
        ("mailgun", {"email_html": '<img src="cid:a/b">'}, (file("l.png", content_id="a/b"),), "attachments[0]"),
        ("mailgun", {"reply_to": ", ".join(f"{'x' * 900} <r{n}@example.com>" for n in range(9))}, (), "reply_to"),
        ("brevo", {"reply_to": "a@example.com, b@example.com"}, (), "reply_to"),
        ("sendgrid", {"headers": {"X-SG-ID": "1"}}, (), "headers.X-SG-ID"),
        ("sendgrid", {"recipients": "jörg@example.com"}, (), "recipients"),
    ],
)
def test_each_thing_in_the_way_is_told_at_its_field(
    kind: str, changes: dict[str, Any], files: tuple[NewFile, ...], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        warnings(provider(kind), files=files, **changes)
    assert [detail.field for detail in refused.value.details] == [field]
    [warning] = warnings(provider(kind, "K"), provider("smtp"), files=files, **changes)
    assert warning.startswith("K cannot carry it (")


def test_an_image_without_html_is_a_file_that_every_service_takes() -> None:
    said = warnings(provider("brevo"), files=(file("l.png", content_id="l"),))
    assert [warning for warning in said if "brevo" in warning] == []


def test_tags_and_metadata_that_stay_behind_are_told() -> None:
    said = warnings(provider("postmark", "P"), provider("smtp", "S"), tags=["one", "two"])
    assert "P does not carry the tag two, which Janus keeps." in said
    said = warnings(provider("sendgrid", "P"), provider("smtp", "S"), metadata={"status": "new", "order": "4711"})
    assert said == ["P does not carry the metadata status, which Janus keeps."]


@pytest.mark.parametrize("field", ["recipients", "from_name", "reply_to"])
def test_a_name_that_will_be_cut_is_told(field: str) -> None:
    warning = "B does not carry the end of names longer than 70 characters, which Janus keeps."
    for length, told in ((70, []), (71, [warning])):
        name = "x" * length
        given: dict[str, Any] = {field: name if field == "from_name" else f"{name} <a@example.com>"}
        assert warnings(provider("brevo", "B"), provider("smtp"), **given, from_email="b@example.com") == told


async def test_a_change_is_held_to_the_same_limits_but_not_one_of_the_time(
    api: httpx.AsyncClient, schedule: Schedule, add_provider: AddProvider
) -> None:
    event = await schedule(attachments=[{"filename": "x.exe", "content": "AAAA"}])
    await add_provider("P", "postmark")
    path = f"/api/events/{event['id']}"
    answer = await api.patch(path, json={"version": 1, "email_subject": "Other"})
    assert (answer.status_code, answer.json()["code"]) == (400, "file_type_refused")
    assert answer.json()["details"][0]["field"] == "attachments[0]"
    assert (await api.patch(path, json={"version": 1, "expected_sent_at": "in 3 days"})).status_code == 200
    await add_provider("S", "smtp", position=2)
    answer = await api.patch(path, json={"version": 2, "email_subject": "Other"})
    assert "P cannot carry it" in answer.json()["event"]["warnings"][0]
    small = [{"filename": "x.pdf", "content": "AAAA"}]
    answer = await api.patch(path, json={"version": 3, "attachments": small})
    assert answer.json()["event"]["warnings"] == []


async def test_over_the_api_nothing_is_stored_of_what_is_refused(
    api: httpx.AsyncClient, add_provider: AddProvider
) -> None:
    await add_provider("P", "postmark")
    files = [{"filename": "a.pdf", "content": base64.b64encode(bytes(9_000_000)).decode()}]
    for path in ("/api/events", "/api/events/dry-run"):
        answer = await api.post(path, json=EVENT | {"attachments": files})
        assert (answer.status_code, answer.json()["code"]) == (400, "too_large")
        assert answer.json()["details"][0]["field"] == "attachments"
    assert (await api.get("/api/events")).json()["data"] == []


def test_all_who_cannot_carry_it_are_named_in_one_sentence() -> None:
    names = ("P", "Q", "R")
    route = [provider("postmark", name) for name in names]
    big = (file(octets=16_000_000),)
    assert warnings(*route, provider("brevo", "B"), provider("smtp"), files=big) == [
        "P, Q and R cannot carry it (it takes up to 10 MB with the files in base64); "
        "B cannot carry it (it takes up to 20 MB with the files in base64): it goes through the others."
    ]
    with pytest.raises(InvalidInput) as refused:
        warnings(*route, files=big)
    [detail] = refused.value.details
    assert detail.message == "P, Q and R: it takes up to 10 MB with the files in base64."
