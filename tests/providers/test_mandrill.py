"""A mail as Mailchimp Transactional takes it: what is posted, what is adapted, and its answer for each recipient."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from janus_mail.providers.contract import Accepted, Address, Attachment, Verified
from janus_mail.providers.http_client import MAX_ANSWER_BYTES
from janus_mail.providers.http_replies import Answer
from janus_mail.providers.http_service import HttpAdapter
from janus_mail.providers.limits import Asked
from janus_mail.providers.mandrill import LIMITS, SERVICE, MandrillConfig, accepted, problems, request
from janus_mail.providers.network import ANY
from janus_mail.providers.outcomes import DeliveryError, PolicyRejected, ProviderBroken, RecipientRejected
from janus_mail.providers.registry import mask_config, validate_config
from janus_mail.providers.timeouts import HttpTimeouts

from .conftest import SHORT_HTTP, Hold, fields_to, mail_of
from .fake_http import Reply
from .fake_mandrill import INVALID_KEY, KEY, FakeMandrill, answered, error, invalid, problems_with

ID = "0190b0a1-0000-7000-8000-000000000001"
CONFIG = MandrillConfig(api_key=KEY)
PAPER = Attachment("paper.pdf", "application/pdf", b"%PDF-1.7")
LOGO = Attachment("logo.png", "image/png", b"\x89PNG", "logo@janus")

# As Mailchimp's own Python library sends it (mailchimp-transactional 1.4.1).
SDK_SEND = (
    '{"message": {"from_email": "a@example.com", "from_name": "Ann", "to": [{"email": "b@example.net", "type": "to"}], '
    '"subject": "Hello", "text": "Hi there.", "headers": {"Message-ID": "<1@example.com>"}, "metadata": '
    '{"janus_message_id": "0190b0a1-0000-7000-8000-000000000001"}, "preserve_recipients": true}, "key": '
    '"md-key-for-tests"}'
)
SDK_PING = '{"key": "md-key-for-tests"}'
PING = "/api/1.0/users/ping2.json"

# As django-anymail 15.2 sends it.
ANYMAIL_SEND = (
    '{"key": "md-key-for-tests", "message": {"from_email": "a@example.com", "from_name": "Ann, \\u00c4nne", "to": '
    '[{"email": "b@example.net", "type": "to"}, {"email": "c@example.net", "name": "Bob", "type": "to"}, {"email": '
    '"d@example.net", "name": "Dora", "type": "cc"}, {"email": "e@example.net", "type": "bcc"}], "subject": '
    '"Gr\\u00fc\\u00dfe", "headers": {"Reply-To": "B\\u00fcro <desk@example.com>, copy@example.com", "Message-ID": '
    '"<1@example.com>", "X-Campaign": "S\\u00f6mmer"}, "text": "Hi there.", "html": "<p>Hi. <img '
    'src=\\"cid:logo@janus\\"></p>", "attachments": [{"type": "application/pdf", "name": "paper.pdf", "content": '
    '"JVBERi0xLjc="}], "images": [{"type": "image/png", "name": "logo@janus", "content": "iVBORw=="}], "metadata": '
    '{"janus_message_id": "0190b0a1-0000-7000-8000-000000000001", "order": "4711"}, "tags": ["welcome", "spring"], '
    '"preserve_recipients": true}}'
)


def body_of(config: MandrillConfig = CONFIG, *, to: tuple[str | Address, ...] = (), **fields: Any) -> dict[str, Any]:
    """What would be posted; Mandrill has no complaint about it."""
    given = fields_to(*to, **fields)
    built = request(config, mail_of(given), given)
    assert built.path == "/api/1.0/messages/send.json"
    body: dict[str, Any] = json.loads(built.body)
    assert list(problems_with(body)) == []
    return body


def test_the_whole_request_is_this() -> None:
    body = body_of(
        MandrillConfig(api_key=KEY, subaccount="customer-1", ip_pool="Main Pool", return_path_domain="b.example.com"),
        to=("b@example.net", Address("c@example.net", "Carl")),
        cc=(Address("d@example.net", "Dora"),),
        bcc=(Address("e@example.net"),),
        reply_to=(Address("desk@example.com", "Büro"), Address("copy@example.com")),
        html="<p>Hi there.</p>",
        headers={"X-Campaign": "Sömmer"},
        tags=("welcome", "welcome", "spring"),
        metadata={"order": "4711"},
        attachments=(PAPER, LOGO),
    )
    assert body == {
        "key": KEY,
        "ip_pool": "Main Pool",
        "message": {
            "from_email": "a@example.com",
            "from_name": "Ann",
            "to": [
                {"email": "b@example.net", "type": "to"},
                {"email": "c@example.net", "name": "Carl", "type": "to"},
                {"email": "d@example.net", "name": "Dora", "type": "cc"},
                {"email": "e@example.net", "type": "bcc"},
            ],
            "subject": "Hello",
            "text": "Hi there.",
            "html": "<p>Hi there.</p>",
            "headers": {
                "Message-ID": "<1@example.com>",
                "X-Campaign": "Sömmer",
                "Reply-To": '"Büro" <desk@example.com>, copy@example.com',
            },
            "attachments": [{"type": "application/pdf", "name": "paper.pdf", "content": "JVBERi0xLjc="}],
            "images": [{"type": "image/png", "name": "logo@janus", "content": "iVBORw=="}],
            "tags": ["welcome", "spring"],
            "metadata": {"janus_message_id": ID, "order": "4711"},
            "preserve_recipients": True,
            "subaccount": "customer-1",
            "return_path_domain": "b.example.com",
        },
    }


def test_it_is_what_mailchimps_own_library_sends() -> None:
    theirs = json.loads(SDK_SEND)
    assert list(problems_with(theirs)) == []
    assert body_of(MandrillConfig(api_key="md-key-for-tests")) == theirs
    check = SERVICE.check
    assert check is not None
    ping = check(MandrillConfig(api_key="md-key-for-tests"))
    assert (ping.method, ping.path, json.loads(ping.body)) == ("POST", PING, json.loads(SDK_PING))


def test_it_is_what_anymail_sends() -> None:
    theirs = json.loads(ANYMAIL_SEND)
    assert list(problems_with(theirs)) == []
    ours = body_of(
        MandrillConfig(api_key="md-key-for-tests"),
        to=("b@example.net", Address("c@example.net", "Bob")),
        sender=Address("a@example.com", "Ann, Änne"),
        cc=(Address("d@example.net", "Dora"),),
        bcc=(Address("e@example.net"),),
        reply_to=(Address("desk@example.com", "Büro"), Address("copy@example.com")),
        subject="Grüße",
        html='<p>Hi. <img src="cid:logo@janus"></p>',
        headers={"X-Campaign": "Sömmer"},
        tags=("welcome", "spring"),
        metadata={"order": "4711"},
        attachments=(PAPER, LOGO),
    )
    theirs["message"]["headers"]["Reply-To"] = '"Büro" <desk@example.com>, copy@example.com'  # quotes are as good
    assert ours == theirs


def test_an_address_stands_once_where_it_came_first() -> None:
    message = body_of(to=("b@example.net", "B@Example.net"), cc=(Address("b@example.net"), Address("d@example.net")))
    assert [(one["email"], one["type"]) for one in message["message"]["to"]] == [
        ("b@example.net", "to"),
        ("d@example.net", "cc"),
    ]


def test_a_mail_without_a_word_is_still_a_mail() -> None:
    assert body_of(text="", html="")["message"]["text"] == "\n"
    assert "text" not in body_of(text="", html="<p>x</p>")["message"]


def test_tags_and_metadata_that_do_not_fit_stay_here() -> None:
    message = body_of(
        tags=("_private", "x" * 51, "größer"),
        metadata={"_own": "1", "long": "ü" * 80, "short": "y", "janus_message_id": "mine"},
    )["message"]
    assert message["tags"] == ["größer"]
    assert message["metadata"] == {"janus_message_id": ID, "short": "y"}
    asked = Asked(tags=("_private", "größer"), metadata={"long": "ü" * 80, "short": "y"})
    assert LIMITS.left_behind(asked) == ["the tag _private", "the metadata long"]
    assert LIMITS.left_behind(Asked(metadata={"janus_message_id": "mine"})) == ["the metadata janus_message_id"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sender": Address("jörg@example.com")}, "smtputf8_not_offered"),
        ({"headers": {"X-MC-Tags": "spam"}}, "reserved_header"),
        ({"to": tuple(Address(f"r{n}@example.net") for n in range(151))}, "too_many_recipients"),
        ({"attachments": (Attachment("März.pdf", "application/pdf", b"1"),)}, "filename_not_ascii"),
        ({"attachments": (Attachment("a.pdf", "application/pdf", b"1", "a@janus"),)}, "inline_not_image"),
        ({"attachments": (Attachment("a.pdf", "application/pdf", b"x" * 18_800_000),)}, "too_large"),
    ],
)
async def test_what_mandrill_cannot_express_is_refused_before_it_is_asked(changes: dict[str, Any], code: str) -> None:
    hold = Hold()
    adapter = HttpAdapter(
        SERVICE, CONFIG.model_copy(update={"endpoint": "http://127.0.0.1:1"}), timeouts=SHORT_HTTP, network=ANY
    )
    with pytest.raises(PolicyRejected) as raised:  # so that the next provider is tried
        await adapter.send(mail_of(fields_to(**changes)), hold)
    assert (raised.value.code, hold.dispatches) == (code, 0)


def ended(*to: str, body: bytes, status: int = 200) -> Accepted | DeliveryError | None:
    return accepted(CONFIG, mail_of(fields_to(*to)), Answer(status, {}, body))


def of(email: str, status: str, reason: str | None = None) -> dict[str, str | None]:
    return {"email": email, "status": status, "reject_reason": reason, "_id": f"id of {email}"}


def test_each_recipient_has_an_answer_of_its_own() -> None:
    found = ended(
        "Ann@Example.net", "b@example.net", "c@example.net", "d@example.net",
        body=answered(
            of("ann@example.net", "rejected", "hard-bounce"), of("b@example.net", "sent"),
            of("c@example.net", "queued"), of("d@example.net", "invalid"),
        ).body,
    )  # fmt: skip
    assert isinstance(found, Accepted)
    assert (found.code, found.provider_message_id) == ("200 sent", "id of b@example.net")
    assert [(one.address, type(one.error), one.error.code) for one in found.refused] == [
        ("Ann@Example.net", RecipientRejected, "200 rejected hard-bounce"),
        ("d@example.net", RecipientRejected, "200 invalid"),
    ]
    assert "b@example.net" not in found.refused[0].error.response  # of nobody else


@pytest.mark.parametrize("status", ["sent", "queued", "scheduled"])
def test_what_waits_at_mandrill_is_taken(status: str) -> None:
    found = ended("b@example.net", body=answered(of("b@example.net", status)).body)
    assert isinstance(found, Accepted)
    assert found.refused == ()


def test_a_group_of_whom_all_are_refused_is_refused_by_name() -> None:
    items = [of("b@example.net", "rejected", "unsub"), of("c@example.net", "invalid")]
    found = ended("b@example.net", "c@example.net", body=answered(*items).body)
    assert isinstance(found, RecipientRejected)
    assert [one.address for one in found.refused] == ["b@example.net", "c@example.net"]


def test_a_sender_that_is_not_signed_is_no_recipients_fault() -> None:
    items = [of("b@example.net", "rejected", "hard-bounce"), of("c@example.net", "rejected", "unsigned")]
    found = ended("b@example.net", "c@example.net", body=answered(*items).body)
    assert isinstance(found, ProviderBroken)
    assert (found.scope, found.refused) == ("sender", ())


def test_an_answer_without_some_of_them_is_believed_as_far_as_it_goes() -> None:
    taken = ended("b@example.net", "c@example.net", body=answered(of("b@example.net", "sent")).body)
    assert isinstance(taken, Accepted)
    refused = answered(of("b@example.net", "rejected", "unsub"))
    assert ended("b@example.net", "c@example.net", body=refused.body) is None  # what became of the other is unknown


BOOKS = "b@xn--bcher-kva.example"


@pytest.mark.parametrize("spelled", ["b@bücher.example", '"Bücher" <B@xn--bcher-kva.example>', "b.b@elsewhere.example"])
def test_an_only_recipient_is_the_one_that_the_answer_is_about(spelled: str) -> None:
    found = ended(BOOKS, body=answered(of(spelled, "sent")).body)
    assert isinstance(found, Accepted)
    assert found.provider_message_id == f"id of {spelled}"
    refused = ended(BOOKS, body=answered(of(spelled, "rejected", "unsub")).body)
    assert isinstance(refused, RecipientRejected)


def test_an_address_is_found_however_it_is_spelled() -> None:
    items = [of("c@example.net", "sent"), of('"B" <b@BÜCHER.example>', "rejected", "unsub")]
    found = ended(BOOKS, "c@example.net", "d@example.net", body=answered(*items).body)
    assert isinstance(found, Accepted)
    assert [one.address for one in found.refused] == [BOOKS]


def test_what_is_taken_under_no_name_of_ours_is_whoevers_the_answer_does_not_explain() -> None:
    rest = of("c@example.net", "rejected", "unsub")
    for others in ([of("x@example.net", "sent")], [of("x@example.net", "sent"), of("y@example.net", "queued")]):
        recipients = ["b@example.net", "c@example.net", "d@example.net"][: len(others) + 1]
        found = ended(*recipients, body=answered(*others, rest).body)
        assert isinstance(found, Accepted)
        assert [one.address for one in found.refused] == ["c@example.net"]
    mixed = answered(of("x@example.net", "sent"), of("y@example.net", "rejected", "unsub"))
    assert ended("b@example.net", "c@example.net", body=mixed.body) is None  # which of them has it is not said


def test_the_longest_answer_can_be_read() -> None:
    most = LIMITS.recipients
    assert most is not None
    item = {"email": "x" * 254, "status": "rejected", "_id": "f" * 32, "reject_reason": "test-mode-limit",
            "queued_reason": "free-trial-sends-exhausted"}  # fmt: skip
    assert len(json.dumps([item] * most, separators=(",", ":"))) <= MAX_ANSWER_BYTES


def test_what_is_invalid_is_found_in_the_message() -> None:
    reply = invalid({"message": {"to": [{}, {"email": "bad"}], "tags": {"0": "long"}}})
    assert problems(Answer(500, {}, reply.body)) == [
        ("bad", "message.to.1.email", "ValidationError"),
        ("long", "message.tags.0", "ValidationError"),
    ]
    for message in ("Validation error: {", "Validation error: []", "You must specify a key value", ""):
        body = error("ValidationError", -2, message).body
        assert problems(Answer(500, {}, body)) == [(message, "", "ValidationError")]
    for body in (b"null", b"[]", b'{"name": 1}', b'{"message": "Bad Gateway"}', b"{", b""):
        assert problems(Answer(500, {}, body)) == []


@pytest.fixture
async def server() -> AsyncIterator[FakeMandrill]:
    fake = await FakeMandrill().start()
    yield fake
    await fake.stop()


def adapter_to(server: FakeMandrill, **config: Any) -> HttpAdapter[MandrillConfig]:
    given = {"api_key": KEY, "endpoint": server.url, **config}
    return HttpAdapter(SERVICE, MandrillConfig.model_validate(given), timeouts=SHORT_HTTP, network=ANY)


async def test_a_group_is_sent_but_to_those_whom_mandrill_refuses(server: FakeMandrill) -> None:
    fields = fields_to("b@example.net", "reject@test.mandrillapp.com", cc=(Address("D@example.net"),))
    found = await adapter_to(server).send(mail_of(fields), Hold())
    assert [one.address for one in found.refused] == ["reject@test.mandrillapp.com"]
    (taken,) = server.ledger
    assert found.provider_message_id == taken.id
    with pytest.raises(RecipientRejected, match="hard-bounce"):
        await adapter_to(server).send(mail_of(fields_to("hard_bounce@test.mandrillapp.com")), Hold())


async def test_a_large_group_is_queued(server: FakeMandrill) -> None:
    found = await adapter_to(server).send(mail_of(fields_to(*(f"r{n}@example.net" for n in range(11)))), Hold())
    assert (found.code, "multiple-recipients" in found.response) == ("200 queued", True)


async def test_the_ping_tells_whether_the_key_is_known(server: FakeMandrill) -> None:
    assert isinstance(await adapter_to(server).verify(), Verified)
    with pytest.raises(ProviderBroken, match="Invalid_Key"):
        await adapter_to(server, api_key="md-revoked").verify()
    assert [asked.path for asked in server.requests] == [PING] * 2
    server.script(Reply(200, INVALID_KEY.body))
    with pytest.raises(ProviderBroken, match="200 Invalid_Key"):
        await adapter_to(server).verify()


async def test_a_gateway_that_names_the_version_itself_is_asked_for_it_once(server: FakeMandrill) -> None:
    for endpoint in (server.url, f"{server.url}/api/1.0", f"{server.url}/api/1.4/"):
        await adapter_to(server, endpoint=endpoint).send(mail_of(fields_to()), Hold())
    assert [asked.path for asked in server.requests] == [
        "/api/1.0/messages/send.json", "/api/1.0/messages/send.json", "/api/1.4/messages/send.json",
    ]  # fmt: skip
    async with httpx.AsyncClient() as client:
        for path in ("/messages/send.json", "/api/1.0/api/1.0/messages/send.json", "/api/2.0/messages/send.json"):
            answer = await client.post(f"{server.url}{path}", json=body_of())
            assert (answer.status_code, answer.json()["name"]) == (404, "Unknown_Method")


async def test_an_unknown_subaccount_is_the_providers_fault(server: FakeMandrill) -> None:
    with pytest.raises(ProviderBroken, match="Unknown_Subaccount"):
        await adapter_to(server, subaccount="customer-2").send(mail_of(fields_to()), Hold())


@pytest.mark.parametrize(
    ("given", "base_url"),
    [
        ({}, "https://mandrillapp.com"),
        ({"endpoint": "https://gateway.example.com/mandrill/"}, "https://gateway.example.com/mandrill"),
    ],
)
def test_its_own_or_another_address_is_asked(given: dict[str, object], base_url: str) -> None:
    config = MandrillConfig.model_validate({"api_key": KEY, **given})
    assert HttpAdapter(SERVICE, config, timeouts=HttpTimeouts()).base_url == base_url


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "an API key is needed"),
        ({"api_key": "a b"}, "no blanks"),
        ({"api_key": KEY, "region": "eu"}, "Extra inputs are not permitted"),
        ({"api_key": KEY, "subaccount": "x" * 256}, "at most 255 characters"),
    ],
)
def test_bad_settings_are_refused_with_a_reason(given: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError) as raised:
        validate_config("mandrill", given)
    assert complaint in str(raised.value)


def test_the_registry_knows_it_and_hides_its_keys() -> None:
    given = {"api_key": KEY, "webhook_key": "webhook-key-0001", "webhook_url": "https://mail.example.com/hooks/1/a"}
    assert validate_config("mandrill", given) == given
    assert mask_config("mandrill", given) == {**given, "api_key": "•••• ts00", "webhook_key": "•••• 0001"}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"from_email": "nobody"}, 500),
        ({"to": []}, 500),
        ({"to": [{"email": "b@example.net", "kind": "to"}]}, 500),
        ({"to": "b@example.net"}, 500),
        ({"text": ""}, 500),
        ({"surprise": 1}, 500),
        ({"preserve_recipients": "yes"}, 500),
        ({"tags": ["_private"]}, 500),
        ({"metadata": {"a": "x" * 250}}, 500),
        ({"metadata": {"a": {"b": "c"}}}, 500),
        ({"attachments": [{"type": "a/b", "name": "x", "content": "not base64!"}]}, 500),
        ({"attachments": [{"type": "a/b", "filename": "x", "content": ""}]}, 500),
        ({"images": [{"type": "application/pdf", "name": "x", "content": ""}]}, 500),
        ({}, 200),
    ],
)
async def test_the_fake_is_as_strict_as_the_real_one(change: dict[str, Any], status: int, server: FakeMandrill) -> None:
    asked = body_of()
    asked["message"] |= change
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{server.url}/api/1.0/messages/send.json", json=asked)
    assert answer.status_code == status, answer.text
    assert len(server.ledger) == (status == 200)
