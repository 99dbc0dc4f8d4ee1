"""Setting a provider up by hand: the form that is drawn from its kind's schema, and what becomes of what is typed."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from janus_mail.pages.form_fields import Control, Part, fields_of, read
from janus_mail.providers.registry import KINDS, config_schema
from janus_mail.storage.database import Database
from tests.pages.conftest import Visitor
from tests.pages.gallery import Gallery
from tests.pages.reading import Element, Page, faults_of
from tests.providers.scripted_smtp import Act, ScriptedSmtp

SMTP_ADD = "/providers/add/smtp"
PASSWORD = "a-long-password"


@pytest.fixture
async def server() -> AsyncIterator[ScriptedSmtp]:
    started = await ScriptedSmtp(offers=("AUTH PLAIN",)).start()
    yield started
    await started.stop()


@pytest.fixture
async def relay(empty_gallery: Gallery, server: ScriptedSmtp) -> str:
    """The address of a real provider's pages."""
    config = {"host": "127.0.0.1", "port": server.port, "security": "none", "username": "ann", "password": PASSWORD}
    await empty_gallery.provider("Relay", "smtp", sandbox=False, config=config)
    return f"/providers/{empty_gallery.providers['Relay']}"


def account(server: ScriptedSmtp, **more: str) -> dict[str, str]:
    return {
        "name": "Relay", "config.host": "127.0.0.1", "config.port": str(server.port), "config.security": "none",
        "config.username": "ann", "config.password": PASSWORD, **more,
    }  # fmt: skip


def control(page: Page, key: str) -> Element:
    return next(element for element in page.main.all() if element.attributes.get("id") == key)


def wrong(page: Page) -> dict[str, str]:
    """By field, what stands under it."""
    ids = {e["id"]: e.text for e in page.main.all("div") if e.attributes.get("id", "").endswith("-wrong")}
    return {name.removesuffix("-wrong"): sentence for name, sentence in ids.items()}


async def row_of(gallery: Gallery, name: str) -> dict[str, Any]:
    row = await gallery.database.pool.fetchrow("SELECT * FROM providers WHERE name = $1", name)
    assert row is not None
    return {**row, "config": gallery.secrets.open(row["config"])}


async def test_every_kind_can_be_chosen_with_a_sentence_about_it(visitor: Visitor, empty_gallery: Gallery) -> None:
    page = await visitor.get("/providers")
    assert page.main.one("a", href="/providers/add").text == "Add a provider"
    page = await visitor.get("/providers/add")
    chosen = {a["href"].rpartition("/")[2]: a.text for a in page.main.all("a", class_="btn")}
    assert chosen == {kind.kind: f"Choose {kind.label}" for kind in KINDS.values()}
    assert all(kind.about in page.main.text for kind in KINDS.values())


async def test_every_kind_has_a_form_that_stands_in_nobodys_way(visitor: Visitor, empty_gallery: Gallery) -> None:
    for kind in KINDS:
        page = await visitor.get(f"/providers/add/{kind}")
        assert faults_of(page) == [], kind
        form = page.form(f"/providers/add/{kind}")
        keys = {f"config.{name}" for name in config_schema(kind).get("properties", {})}
        named = {element["name"] for tag in ("input", "select", "textarea") for element in form.all(tag)}
        assert keys == {name for name in named if name.startswith("config.")}, kind
        for field in fields_of(config_schema(kind)):
            assert field.label in form.text


async def test_the_fields_are_as_the_schema_says(visitor: Visitor, empty_gallery: Gallery) -> None:
    page = await visitor.get(SMTP_ADD)
    port = control(page, "config.port").attributes
    assert (port["type"], port["min"], port["max"], port["placeholder"]) == ("number", "1", "65535", "587")
    password = control(page, "config.password").attributes
    assert (password["type"], password["autocomplete"], password["value"]) == ("password", "new-password", "")
    assert [o.text for o in control(page, "config.security").all("option")] == ["STARTTLS", "TLS", "None"]
    assert "checked" in control(page, "config.verify_certificate").attributes
    assert "TLS after the greeting" in control(page, "config.security-hint").text
    more = next(details for details in page.main.all("details", class_="more") if "sender, limits" in details.text)
    assert {"config.max_connections", "config.verify_certificate"} <= {e.attributes.get("id") for e in more.all()}
    assert "config.port" not in {e.attributes.get("id") for e in more.all()}


async def test_a_provider_is_added_and_its_credentials_are_asked_about(
    visitor: Visitor, empty_gallery: Gallery, server: ScriptedSmtp
) -> None:
    page = await visitor.get(SMTP_ADD)
    page = await visitor.send(
        page, SMTP_ADD, account(server, sender_domains="example.com, Bücher.example", rate_per_second="2.5",
                                daily_quota="500", from_email="ann@example.com"),
    )  # fmt: skip
    assert visitor.address.endswith("/edit")
    assert "Saved, and its service knows the credentials." in page.main.text
    assert "Credentials accepted" in page.main.text
    assert "235 2.7.0 Authenticated" in page.main.text
    row = await row_of(empty_gallery, "Relay")
    assert row["config"] == {
        "host": "127.0.0.1", "port": server.port, "security": "none", "username": "ann", "password": PASSWORD,
    }  # fmt: skip
    assert (row["rate_per_second"], row["daily_quota"], row["position"]) == (2.5, 500, 4)
    assert (row["sender_domains"], row["sandbox"]) == (["example.com", "xn--bcher-kva.example"], False)


async def test_a_refused_key_is_told_in_the_services_words_and_nothing_is_lost(
    visitor: Visitor, empty_gallery: Gallery, server: ScriptedSmtp
) -> None:
    server.always["AUTH"] = f"535 5.7.8 {PASSWORD} is wrong"
    page = await visitor.send(await visitor.get(SMTP_ADD), SMTP_ADD, account(server))
    assert "Saved, but its service did not take the credentials" in page.main.text
    assert "Relay refused our key" in page.main.text
    assert "535 5.7.8 •••• is wrong" in page.main.text
    assert PASSWORD not in page.html
    server.always["AUTH"] = "235 2.7.0 Welcome"
    page = await visitor.send(page, page.main.one("form", action=visitor.address[16:-4] + "verify")["action"])
    assert "235 2.7.0 Welcome" in page.main.text


async def test_a_preset_fills_in_what_is_left_empty(visitor: Visitor, empty_gallery: Gallery) -> None:
    page = await visitor.get("/providers/add/smtp")
    fills = control(page, "config.preset")["data-fills"]
    assert '"gmail":{"host":"smtp.gmail.com"' in fills
    # As a browser with JavaScript sends it: what the preset says stands in the fields, and is not stored twice.
    filled = {"config.preset": "sendgrid", "config.host": "smtp.sendgrid.net", "config.port": "587",
              "config.username": "apikey"}  # fmt: skip
    for name, typed in (("Typed", filled), ("Left", {"config.preset": "sendgrid"})):
        fields = {"name": name, "sandbox": "on", "config.password": "SG.12345678", **typed}
        await visitor.send(page, SMTP_ADD, fields)
        assert (await row_of(empty_gallery, name))["config"] == {"preset": "sendgrid", "password": "SG.12345678"}


async def test_everything_that_is_wrong_is_told_at_its_field_and_what_was_typed_stays(
    visitor: Visitor, empty_gallery: Gallery
) -> None:
    typed = {
        "name": "Amazon SES", "config.host": "", "config.port": "many", "config.username": "ann",
        "config.password": PASSWORD, "from_email": "ann", "rate_per_second": "0", "daily_quota": "1.5",
    }  # fmt: skip
    page = await visitor.send(await visitor.get(SMTP_ADD), SMTP_ADD, typed, status=400)
    assert page.root.one("title").text.startswith("Error: ")
    assert wrong(page) == {
        "config.host": "A server is needed.",
        "config.port": "This is not a whole number.",
        "from_email": "An email address must have an @-sign.",
        "rate_per_second": "This must be more than 0.",
        "daily_quota": "This is not a whole number.",
    }
    links = [a["href"].removeprefix("#") for a in page.main.one("div", id="errors").all("a")]
    assert links == ["config.host", "config.port", "from_email", "rate_per_second", "daily_quota"]
    for name, text in typed.items():
        assert control(page, name)["value"] == ("" if name == "config.password" else text)
    assert "Please type it once more" in page.main.text
    assert PASSWORD not in page.html
    assert faults_of(page) == []
    assert all("open" in details.attributes for details in page.main.all("details") if "limits" in details.text)
    assert await empty_gallery.database.pool.fetchval("SELECT count(*) FROM providers") == 3


async def test_a_name_that_is_taken_is_told_at_the_name(visitor: Visitor, empty_gallery: Gallery) -> None:
    fields = {"name": "Amazon SES", "sandbox": "on"}
    page = await visitor.send(await visitor.get(SMTP_ADD), SMTP_ADD, fields, status=409)
    assert wrong(page) == {"name": "The workspace has a provider named Amazon SES already."}
    assert (await visitor.get("/providers/add/ses")).form("/providers/add/ses").values()["name"] == "Amazon SES 2"


async def test_an_old_form_is_shown_again_as_it_was_typed(visitor: Visitor, empty_gallery: Gallery) -> None:
    page = await visitor.send(await visitor.get(SMTP_ADD), SMTP_ADD, {"name": "Typed", "csrf_token": "old"}, status=403)
    assert control(page, "name")["value"] == "Typed"
    assert "had grown old" in page.main.text


async def test_there_is_no_form_for_what_there_is_not(visitor: Visitor, empty_gallery: Gallery, relay: str) -> None:
    await visitor.get("/providers/add/carrier-pigeon", status=404)
    await visitor.get(f"/providers/{uuid.uuid4()}/edit", status=404)
    await visitor.get(f"/providers/{uuid.uuid4()}/test", status=404)
    await visitor.get(f"{relay}/test?mail={uuid.uuid4()}", status=404)


async def test_a_stored_secret_is_masked_and_stays_when_nothing_is_typed(
    visitor: Visitor, empty_gallery: Gallery, relay: str, server: ScriptedSmtp
) -> None:
    page = await visitor.get(f"{relay}/edit")
    assert control(page, "config.password")["placeholder"] == "•••• word"
    assert PASSWORD not in page.html
    page = await visitor.send(page, f"{relay}/edit", {"name": "Renamed", "config.max_connections": "3"})
    assert "Saved, and its service knows the credentials." in page.main.text
    config = (await row_of(empty_gallery, "Renamed"))["config"]
    assert (config["password"], config["max_connections"]) == (PASSWORD, 3)

    talked = len(server.conversations)
    page = await visitor.send(page, f"{relay}/edit", {"name": "Again"})
    assert "Saved." in page.main.text
    assert len(server.conversations) == talked
    page = await visitor.send(page, f"{relay}/edit", {"config.max_connections": ""})
    assert "max_connections" not in (await row_of(empty_gallery, "Again"))["config"]


async def test_a_secret_is_replaced_removed_and_never_sent_elsewhere(
    visitor: Visitor, empty_gallery: Gallery, relay: str
) -> None:
    page = await visitor.get(f"{relay}/edit")
    page = await visitor.send(page, f"{relay}/edit", {"config.host": "elsewhere.invalid"}, status=400)
    assert wrong(page) == {"config.password": "With another host the secrets must be given again."}
    page = await visitor.send(await visitor.get(f"{relay}/edit"), f"{relay}/edit", {"config.password": "told-anew-1"})
    assert (await row_of(empty_gallery, "Relay"))["config"]["password"] == "told-anew-1"
    gone = {"config.password.remove": "on", "config.username": ""}
    page = await visitor.send(page, f"{relay}/edit", gone)
    assert (await row_of(empty_gallery, "Relay"))["config"].get("password") is None


async def test_two_who_change_it_at_once_are_told(visitor: Visitor, empty_gallery: Gallery, relay: str) -> None:
    page = await visitor.get(f"{relay}/edit")
    await empty_gallery.database.pool.execute("UPDATE providers SET version = version + 1")
    page = await visitor.send(page, f"{relay}/edit", {"name": "Mine"}, status=409)
    assert "Somebody changed this provider meanwhile." in page.main.text
    await visitor.send(page, f"{relay}/edit")
    await row_of(empty_gallery, "Mine")


async def test_of_the_provider_of_mail_settings_only_limits_are_changed_here(
    visitor: Visitor, empty_gallery: Gallery, relay: str
) -> None:
    await empty_gallery.database.pool.execute("UPDATE providers SET from_environment = true WHERE name = 'Relay'")
    page = await visitor.get(f"{relay}/edit")
    named = {element.attributes.get("name") for element in page.form(f"{relay}/edit").all("input")}
    assert named == {"csrf_token", "version", "sender_domains", "rate_per_second", "daily_quota"}
    assert "Remove this provider" not in page.main.text
    page = await visitor.send(page, f"{relay}/edit", {"daily_quota": "7"})
    row = await row_of(empty_gallery, "Relay")
    assert (row["daily_quota"], row["config"]["password"]) == (7, PASSWORD)


async def test_settings_that_no_key_opens_can_be_typed_anew(
    visitor: Visitor, empty_gallery: Gallery, relay: str, server: ScriptedSmtp
) -> None:
    await empty_gallery.database.pool.execute("UPDATE providers SET config = 'lost' WHERE name = 'Relay'")
    page = await visitor.get(f"{relay}/edit")
    assert "open with none of JANUS_SECRET_KEYS" in page.main.text
    await visitor.send(page, f"{relay}/edit", account(server))
    assert (await row_of(empty_gallery, "Relay"))["config"]["password"] == PASSWORD


async def test_a_provider_is_removed_after_a_question(visitor: Visitor, empty_gallery: Gallery, relay: str) -> None:
    page = await visitor.get(f"{relay}/edit")
    questions = [details.text for details in page.main.all("details", class_="confirm")]
    assert any("Remove Relay ?" in text for text in questions)
    page = await visitor.send(page, f"{relay}/remove")
    assert "Removed." in page.main.text
    assert "Relay" not in [h2.text for h2 in page.main.all("h2")]


async def test_the_page_says_where_the_service_is_to_post_and_which_events(
    visitor: Visitor, empty_gallery: Gallery
) -> None:
    pool = empty_gallery.database.pool
    for kind in set(KINDS) - {"smtp"}:
        await empty_gallery.provider(f"{kind} 2", kind)
        provider_id = empty_gallery.providers[f"{kind} 2"]
        token = await pool.fetchval("SELECT hook_token FROM providers WHERE id = $1", provider_id)
        page = await visitor.get(f"/providers/{provider_id}/edit")
        assert page.main.one("pre", id="hook").text == f"http://testserver/hooks/{provider_id}/{token}"
        assert "Events:" in page.main.text, kind
        assert "Nothing has come yet." in page.main.text
    await pool.execute("UPDATE providers SET heard_at = $1", datetime.now(UTC))
    assert "Last heard within the hour" in (await visitor.get(f"/providers/{provider_id}/edit")).main.text


async def test_of_smtp_bounces_have_an_address_of_their_own(visitor: Visitor, relay: str) -> None:
    page = await visitor.get(f"{relay}/edit")
    assert page.main.one("pre", id="hook").text.endswith("/dsn")


async def test_a_test_mail_is_shown_with_what_the_server_said(
    visitor: Visitor, relay: str, server: ScriptedSmtp
) -> None:
    page = await visitor.get(f"{relay}/test")
    assert control(page, "to")["value"] == "janus@example.com"
    page = await visitor.send(page, f"{relay}/test", {"to": "ann@example.org"})
    assert "Relay took the mail" in page.main.text
    assert "250 2.0.0 Ok: queued as 4XyZ12" in page.main.text
    assert "Look for it in the mailbox of ann@example.org" in page.main.text
    assert faults_of(page) == []
    assert [mail.recipients for mail in server.mails] == [["ann@example.org"]]
    event = next(a for a in page.main.all("a") if a.text == "See its event")
    assert "Relay took the mail" in (await visitor.get(event["href"])).main.text


@pytest.mark.parametrize(
    ("verb", "reply", "happened", "advice"),
    [
        ("AUTH", "535 5.7.8 No", "Relay refused our key", "Put its credentials or its settings right"),
        ("RCPT", "550 5.1.1 Who?", "There is no such mailbox", "it is the address that is refused"),
        ("BANNER", Act.CLOSE, "Relay cut the line", "Check server, port and security"),
        ("DOT", Act.CLOSE, "The line to Relay was cut after the mail had left", "it may be there"),
    ],
)
async def test_a_test_that_failed_says_what_to_do(
    visitor: Visitor, relay: str, server: ScriptedSmtp, verb: str, reply: Any, happened: str, advice: str
) -> None:
    server.always[verb] = reply
    page = await visitor.send(await visitor.get(f"{relay}/test"), f"{relay}/test", {"to": "ann@example.org"})
    assert happened in page.main.text
    assert advice in page.main.text


async def test_a_sandbox_keeps_its_test_in_the_mailbox(visitor: Visitor, empty_gallery: Gallery) -> None:
    path = f"/providers/{empty_gallery.providers['Amazon SES']}/test"
    page = await visitor.send(await visitor.get(path), path, {"to": "ann@example.org"})
    link = next(a for a in page.main.all("a") if a.text == "See it in the mailbox")
    assert "Test mail through Amazon SES" in (await visitor.get(link["href"])).main.text


async def test_a_test_to_nobody_is_refused_at_its_field(visitor: Visitor, relay: str, server: ScriptedSmtp) -> None:
    page = await visitor.send(await visitor.get(f"{relay}/test"), f"{relay}/test", {"to": "ann"}, status=400)
    assert list(wrong(page)) == ["to"]
    assert control(page, "to")["value"] == "ann"
    assert server.conversations == []


async def test_the_route_is_put_in_order_as_it_was_dragged(visitor: Visitor, empty_gallery: Gallery) -> None:
    ids = [str(one) for one in empty_gallery.providers.values()]
    page = await visitor.get("/providers")
    page = await visitor.send(page, "/providers/order", {"order": ",".join(reversed(ids))})
    assert [li["data-id"] for li in page.main.all("li", class_="provider")] == ids[::-1]
    page = await visitor.send(page, "/providers/order", {"order": ",".join(ids[:2])})
    assert "Nothing was changed" in page.main.text
    await visitor.send(page, "/providers/order", {"order": "x"}, status=400)


async def test_another_workspaces_provider_has_no_pages_here(
    visitor: Visitor, empty_gallery: Gallery, another: Gallery, database: Database
) -> None:
    other = f"/providers/{another.providers['Amazon SES']}"
    token = (await visitor.get("/providers")).form("/theme").values()["csrf_token"]
    for path in ("edit", "test"):
        await visitor.get(f"{other}/{path}", status=404)
    for path in ("edit", "test", "verify", "remove"):
        answer = await visitor.client.post(f"{other}/{path}", data={"csrf_token": token, "to": "a@example.com"})
        assert answer.status_code == 404, path
    assert await database.pool.fetchval("SELECT count(*) FROM providers WHERE deleted_at IS NOT NULL") == 0


def test_a_form_can_be_drawn_from_any_schema() -> None:
    schema = {
        "required": ["region"],
        "$defs": {"Mode": {"enum": ["a", "b"], "type": "string"}},
        "properties": {
            "region": {"type": "string", "title": "Region"},
            "key": {"anyOf": [{"type": "string", "format": "password", "writeOnly": True}, {"type": "null"}]},
            "mode": {"$ref": "#/$defs/Mode", "default": "b"},
            "only": {"const": "x", "type": "string"},
            "certificate": {"type": "string", "maxLength": 9000},
            "names": {"type": "array", "items": {"type": "string"}},
            "many": {"type": "integer", "minimum": 1, "default": 3},
            "share": {"type": "number", "exclusiveMinimum": 0},
            "on": {"type": "boolean", "default": True},
            "webhook_secret": {"anyOf": [{"type": "string", "writeOnly": True}, {"type": "null"}]},
            "endpoint": {"type": "string"},
            "odd": {},
        },
    }
    drawn = {one.name: one for one in fields_of(schema)}
    assert {name: one.control.value for name, one in drawn.items()} == {
        "region": "line", "key": "secret", "mode": "choice", "only": "choice", "certificate": "lines",
        "names": "list", "many": "whole", "share": "number", "on": "box", "webhook_secret": "secret",
        "endpoint": "line", "odd": "line",
    }  # fmt: skip
    assert drawn["mode"].options == [("a", "a"), ("b", "b")]
    assert {name for name, one in drawn.items() if one.part == Part.FEEDBACK} == {"webhook_secret"}
    assert {name for name, one in drawn.items() if one.part == Part.MORE} == {"many", "share", "on", "endpoint"}
    assert drawn["odd"].label == "Odd"
    assert read(drawn["names"], " a, b\nc,,") == ["a", "b", "c"]
    assert read(drawn["share"], "2,5") == 2.5
    assert drawn["many"].control is Control.WHOLE


async def test_the_first_real_provider_says_that_mail_leaves_from_now_on(
    visitor: Visitor, empty_gallery: Gallery
) -> None:
    said = "from now on mail leaves for the world; the sandboxes take only mail that names them."
    for address in (SMTP_ADD, "/providers/add/sendgrid"):
        page = await visitor.get(address)
        assert page.main.text.count(said) == 2  # beside the box, and in «What will happen»
    await empty_gallery.provider("Real", "sendgrid", sandbox=False)
    page = await visitor.get(SMTP_ADD)
    assert said not in page.main.text
    assert "It comes last in the route." in page.main.text


async def test_what_is_needed_is_marked_and_all_that_is_missing_is_told_at_once(
    visitor: Visitor, empty_gallery: Gallery
) -> None:
    address = "/providers/add/mailgun"
    page = await visitor.get(address)
    marked = [e["for"] for e in page.main.all("label") if e.text.endswith("(needed)")]
    assert marked == ["config.api_key", "config.domain"]
    page = await visitor.send(page, address, {"name": "M"}, status=400)
    assert wrong(page) == {
        "config.api_key": "An API key is needed.",
        "config.domain": "The domain to send through is needed.",
    }
