"""A mail as Mailgun takes it: what is posted, what is adapted, what is refused beforehand, what its words mean."""

import time
from email.utils import formatdate, getaddresses
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from janus_mail.providers.contract import Address, Attachment, Verified
from janus_mail.providers.http_replies import Answer
from janus_mail.providers.http_service import HttpAdapter, Request
from janus_mail.providers.limits import Asked, AskedFile, keep_within
from janus_mail.providers.mailgun import LIMITS, SERVICE, MailgunConfig, accepted, request
from janus_mail.providers.network import ANY
from janus_mail.providers.outcomes import PolicyRejected, ProviderBroken
from janus_mail.providers.registry import mask_config, validate_config
from janus_mail.providers.timeouts import HttpTimeouts

from .conftest import SHORT_HTTP, Hold, fields_to, mail_of
from .fake_http import Reply
from .fake_mailgun import DOMAIN, KEY, LIMITED, FakeMailgun, Part, complaint, not_allowed, parts_of, problems_with

ID = "0190b0a1-0000-7000-8000-000000000001"
CONFIG = MailgunConfig(api_key=KEY, domain=DOMAIN)
PAPER = Attachment("März.pdf", "application/pdf", b"%PDF-1.7")
LOGO = Attachment("logo.png", "image/png", b"\x89PNG", "logo@janus")

# As Mailgun's own Python library sends it (mailgun 1.10.0, with requests 2.34.2).
SDK_TYPE = "multipart/form-data; boundary=c041958bd17589f9fe89f3a8860f7d4e"
SDK_BODY = "".join(
    f"--c041958bd17589f9fe89f3a8860f7d4e\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n"
    for head, value in (
        ('name="from"', "Ann <a@example.com>"),
        ('name="to"', "b@example.net"),
        ('name="to"', "Bob <c@example.net>"),
        ('name="cc"', "Dora <d@example.net>"),
        ('name="bcc"', "e@example.net"),
        ('name="subject"', "Grüße"),
        ('name="text"', "Hi there."),
        ('name="html"', '<p>Hi. <img src="cid:logo@janus"></p>'),
        ('name="h:Message-Id"', "<1@example.com>"),
        ('name="h:Reply-To"', "Desk <desk@example.com>"),
        ('name="h:X-Campaign"', "Sömmer"),
        ('name="v:janus_message_id"', ID),
        ('name="v:order"', "4711"),
        ('name="o:tag"', "welcome"),
        ('name="o:tag"', "spring"),
        ('name="o:testmode"', "yes"),
        ('name="attachment"; filename="März.pdf"\r\nContent-Type: application/pdf', "%PDF-1.7"),
        ('name="inline"; filename="logo@janus"\r\nContent-Type: image/png', "\udc89PNG"),
    )
) + "--c041958bd17589f9fe89f3a8860f7d4e--\r\n"  # fmt: skip


def posted(config: MailgunConfig = CONFIG, *, to: tuple[str | Address, ...] = (), **fields: Any) -> Request:
    """What would be posted; Mailgun has no complaint about it."""
    given = fields_to(*to, **fields)
    built = request(config, mail_of(given), given)
    assert list(problems_with(parts_of(built.headers["Content-Type"], built.body))) == []
    return built


def form(config: MailgunConfig = CONFIG, **fields: Any) -> list[tuple[str, str]]:
    """Its fields but the files."""
    built = posted(config, **fields)
    return [(part.name, part.text) for part in parts_of(built.headers["Content-Type"], built.body) if not part.filename]


def with_addresses_read(parts: list[Part]) -> list[tuple[object, ...]]:
    """In any order; whether a name stands in quotes does not matter."""
    named = {"from", "to", "cc", "bcc", "h:Reply-To"}
    return sorted(
        (part.name, str(getaddresses([part.text])) if part.name in named else part.value, part.filename or "",
         part.content_type or "")
        for part in parts
    )  # fmt: skip


def test_the_whole_request_is_this() -> None:
    built = posted(
        MailgunConfig(api_key=KEY, domain=DOMAIN, ip_pool="pool-1"),
        to=("b@example.net", Address("c@example.net", 'Bob "B" Lee')),
        cc=(Address("d@example.net", "Dora"),),
        bcc=(Address("e@example.net"),),
        reply_to=(Address("desk@example.com", "Büro"), Address("copy@example.com")),
        html="<p>Hi there.</p>",
        headers={"X-Campaign": "Sömmer"},
        tags=("welcome", "welcome", "spring"),
        metadata={"order": "4711"},
        attachments=(PAPER, LOGO),
    )
    edge = built.headers["Content-Type"].removeprefix("multipart/form-data; boundary=")
    assert built.path == "/v3/mg.example.com/messages"
    assert built.headers == {
        "Authorization": "Basic YXBpOjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVmLWZhNGUwMDAwLWZhNGUwMDAx",
        "Content-Type": f"multipart/form-data; boundary={edge}",
        "Accept": "application/json",
    }
    assert built.body.replace(edge.encode(), b"EDGE") == (
        b'--EDGE\r\nContent-Disposition: form-data; name="from"\r\n\r\n"Ann" <a@example.com>\r\n'
        b'--EDGE\r\nContent-Disposition: form-data; name="to"\r\n\r\nb@example.net\r\n'
        b'--EDGE\r\nContent-Disposition: form-data; name="to"\r\n\r\n"Bob \\"B\\" Lee" <c@example.net>\r\n'
        b'--EDGE\r\nContent-Disposition: form-data; name="cc"\r\n\r\n"Dora" <d@example.net>\r\n'
        b'--EDGE\r\nContent-Disposition: form-data; name="bcc"\r\n\r\ne@example.net\r\n'
        b'--EDGE\r\nContent-Disposition: form-data; name="subject"\r\n\r\nHello\r\n'
        b'--EDGE\r\nContent-Disposition: form-data; name="text"\r\n\r\nHi there.\r\n'
        b'--EDGE\r\nContent-Disposition: form-data; name="html"\r\n\r\n<p>Hi there.</p>\r\n'
        b'--EDGE\r\nContent-Disposition: form-data; name="h:Message-Id"\r\n\r\n<1@example.com>\r\n'
        b'--EDGE\r\nContent-Disposition: form-data; name="h:Reply-To"\r\n\r\n'
        b'"B\xc3\xbcro" <desk@example.com>, copy@example.com\r\n'
        b'--EDGE\r\nContent-Disposition: form-data; name="h:X-Campaign"\r\n\r\nS\xc3\xb6mmer\r\n'
        b'--EDGE\r\nContent-Disposition: form-data; name="v:janus_message_id"\r\n\r\n' + ID.encode() + b"\r\n"
        b'--EDGE\r\nContent-Disposition: form-data; name="v:order"\r\n\r\n4711\r\n'
        b'--EDGE\r\nContent-Disposition: form-data; name="o:tag"\r\n\r\nwelcome\r\n'
        b'--EDGE\r\nContent-Disposition: form-data; name="o:tag"\r\n\r\nspring\r\n'
        b'--EDGE\r\nContent-Disposition: form-data; name="o:sending-ip-pool"\r\n\r\npool-1\r\n'
        b'--EDGE\r\nContent-Disposition: form-data; name="attachment"; filename="M\xc3\xa4rz.pdf"\r\n'
        b"Content-Type: application/pdf\r\n\r\n%PDF-1.7\r\n"
        b'--EDGE\r\nContent-Disposition: form-data; name="inline"; filename="logo@janus"\r\n'
        b"Content-Type: image/png\r\n\r\n\x89PNG\r\n"
        b"--EDGE--\r\n"
    )


def test_what_is_not_given_is_left_out() -> None:
    assert form() == [
        ("from", '"Ann" <a@example.com>'),
        ("to", "b@example.net"),
        ("subject", "Hello"),
        ("text", "Hi there."),
        ("h:Message-Id", "<1@example.com>"),
        ("v:janus_message_id", ID),
    ]


def test_it_is_what_mailguns_own_library_sends() -> None:
    built = posted(
        MailgunConfig(api_key=KEY, domain=DOMAIN, test_mode=True),
        to=("b@example.net", Address("c@example.net", "Bob")),
        cc=(Address("d@example.net", "Dora"),),
        bcc=(Address("e@example.net"),),
        reply_to=(Address("desk@example.com", "Desk"),),
        subject="Grüße",
        html='<p>Hi. <img src="cid:logo@janus"></p>',
        headers={"X-Campaign": "Sömmer"},
        tags=("welcome", "spring"),
        metadata={"order": "4711"},
        attachments=(PAPER, LOGO),
    )
    theirs = parts_of(SDK_TYPE, SDK_BODY.encode(errors="surrogateescape"))
    assert list(problems_with(theirs)) == []
    ours = parts_of(built.headers["Content-Type"], built.body)
    assert with_addresses_read(ours) == with_addresses_read(theirs)


def test_each_mail_has_a_boundary_of_its_own() -> None:
    mails = [mail_of(fields_to(), message_id=f"<{number}@example.com>") for number in range(2)]
    assert len({request(CONFIG, mail, fields_to()).headers["Content-Type"] for mail in mails}) == 2


def test_a_mail_that_holds_its_own_boundary_gets_another() -> None:
    edge = posted().headers["Content-Type"].rpartition("=")[2]
    inside = f'\r\n--{edge}\r\nContent-Disposition: form-data; name="bcc"\r\n\r\nx@example.net\r\n'
    for changes in ({"text": inside}, {"attachments": (Attachment("a.txt", "text/plain", inside.encode()),)}):
        built = posted(**changes)
        assert built.headers["Content-Type"].rpartition("=")[2] != edge
        assert "bcc" not in [part.name for part in parts_of(built.headers["Content-Type"], built.body)]


@given(
    filename=st.text(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="%/\\"), min_size=1, max_size=40
    ),
    content=st.binary(max_size=200),
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
)
def test_whatever_a_file_is_called_and_holds_arrives(filename: str, content: bytes, text: str) -> None:
    built = posted(text=text, attachments=(Attachment(filename, "application/pdf", content),))
    parts = parts_of(built.headers["Content-Type"], built.body)
    assert parts[-1] == Part("attachment", content, filename, "application/pdf")
    assert text in [part.text for part in parts if part.name == "text"]


def test_an_address_stands_once_where_it_came_first() -> None:
    named = form(to=("b@example.net", "B@Example.net"), cc=(Address("b@example.net"), Address("d@example.net")))
    assert [pair for pair in named if pair[0] in ("to", "cc")] == [("to", "b@example.net"), ("cc", "d@example.net")]


def test_a_mail_without_a_word_is_still_a_mail() -> None:
    assert ("text", "\n") in form(text="", html="")
    assert "text" not in dict(form(text="", html="<p>x</p>"))


def test_tags_and_metadata_that_do_not_fit_stay_here() -> None:
    named = form(
        tags=("größer", "x" * 129, *(f"t{n}" for n in range(12))),
        metadata={'a"b': "1", "a\nb": "1", "a\x00": "1", "long": "x" * 3_990, "short": "y", "janus_message_id": "mine"},
    )
    assert [value for name, value in named if name == "o:tag"] == [f"t{n}" for n in range(10)]
    assert [pair for pair in named if pair[0].startswith("v:")] == [("v:janus_message_id", ID), ("v:short", "y")]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sender": Address("jörg@example.com")}, "smtputf8_not_offered"),
        ({"headers": {"X-Mailgun-Variables": "{}"}}, "reserved_header"),
        ({"headers": {f"X-{n}": "ü" * 500 for n in range(8)}}, "headers_too_large"),
        ({"reply_to": tuple(Address(f"r{n}@example.com", "x" * 60) for n in range(200))}, "headers_too_large"),
        ({"to": tuple(Address(f"r{n}@example.net") for n in range(1001))}, "too_many_recipients"),
        ({"attachments": (Attachment("a.bin", "application/octet-stream", b"x" * 18_800_000),)}, "too_large"),
        *(({"attachments": (Attachment("a.png", "image/png", b"1", cid),)}, "content_id_unfit")
          for cid in ('a"b', "a/b", "a\\b")),
    ],
)  # fmt: skip
async def test_what_mailgun_cannot_express_is_refused_before_it_is_asked(changes: dict[str, Any], code: str) -> None:
    hold = Hold()
    adapter = HttpAdapter(
        SERVICE, CONFIG.model_copy(update={"endpoint": "http://127.0.0.1:1"}), timeouts=SHORT_HTTP, network=ANY
    )
    with pytest.raises(PolicyRejected) as raised:  # so that the next provider is tried
        await adapter.send(mail_of(fields_to(**changes)), hold)
    assert (raised.value.code, hold.dispatches) == (code, 0)


def test_any_mail_within_the_limits_keeps_to_sixteen_kilobytes_of_options() -> None:
    fields = fields_to(
        headers={"X-Long": "ü" * 3_400, **{f"X-{n}": "" for n in range(49)}},
        tags=tuple(f"{n}" * 128 for n in range(10)),
        metadata={f"k{n}": "v" * 1_000 for n in range(20)},
        reply_to=tuple(Address(f"reply-to-{n}@example.com", "x" * 60) for n in range(10)),
    )
    keep_within(LIMITS, mail_of(fields), fields)
    built = request(CONFIG, mail_of(fields), fields)
    named = parts_of(built.headers["Content-Type"], built.body)
    assert 12_000 < sum(len(part.name) + len(part.value) for part in named if ":" in part.name) < 16_000


def test_several_answers_and_inline_files_of_any_type_are_within_its_limits() -> None:
    pdf = AskedFile("März.pdf", "application/pdf", 10, "März@janus")
    assert LIMITS.against(Asked(reply_to=5, files=[pdf], headers={"X-A": "ü"})) is None


def test_what_it_takes_of_content_ids_and_addresses_for_answers_is_known_when_a_mail_is_accepted() -> None:
    unfit = LIMITS.against(Asked(files=[AskedFile("a.png", "image/png", 10, "a/b")]))
    assert unfit is not None
    assert (unfit.code, unfit.field) == ("content_id_unfit", "attachments[0]")
    unfit = LIMITS.against(Asked(reply_to=9, reply_to_octets=8_001))
    assert unfit is not None
    assert (unfit.code, unfit.field) == ("headers_too_large", "reply_to")


@pytest.fixture
async def server() -> Any:
    fake = await FakeMailgun().start()
    yield fake
    await fake.stop()


def adapter_to(server: FakeMailgun, **config: Any) -> HttpAdapter[MailgunConfig]:
    given = {"api_key": KEY, "domain": DOMAIN, "endpoint": server.url, **config}
    return HttpAdapter(SERVICE, MailgunConfig.model_validate(given), timeouts=SHORT_HTTP, network=ANY)


async def test_in_test_mode_a_mail_is_taken_and_not_delivered(server: FakeMailgun) -> None:
    ended = await adapter_to(server, test_mode=True).send(mail_of(fields_to()), Hold())
    assert ended.provider_message_id
    assert (len(server.requests), server.ledger) == (1, [])


async def test_a_main_accounts_key_acts_for_its_subaccount(server: FakeMailgun) -> None:
    await adapter_to(server, subaccount="646d00a1b32c35364a2ad34f").send(mail_of(fields_to()), Hold())
    assert server.requests[0].headers["x-mailgun-on-behalf-of"] == "646d00a1b32c35364a2ad34f"


async def test_a_key_that_may_only_send_is_checked_by_a_mail_without_anything(server: FakeMailgun) -> None:
    known = await adapter_to(server).verify()
    assert isinstance(known, Verified)
    (asked,) = server.requests
    assert (asked.method, asked.path) == ("POST", "/v3/mg.example.com/messages")
    assert [part.name for part in parts_of(asked.headers["content-type"], asked.body)] == ["o:testmode"]
    for config in ({"api_key": "wrong"}, {"domain": "other.example.com"}):
        with pytest.raises(ProviderBroken):
            await adapter_to(server, **config).verify()
    server.script(not_allowed("Account disabled", 400))
    with pytest.raises(ProviderBroken, match="Account disabled"):
        await adapter_to(server).verify()
    for status, words in ((400, "Bad request"), (422, "'to' parameter is not a valid address")):
        server.script(complaint(status, words))
        assert isinstance(await adapter_to(server).verify(), Verified)  # of the mail, which it only sees with a key
    assert not server.ledger


def meaning(reply: Reply, **headers: str) -> Any:
    answer = Answer(reply.status, {name.replace("_", "-"): value for name, value in headers.items()}, reply.body)
    adapter = HttpAdapter(SERVICE, CONFIG, timeouts=HttpTimeouts())
    return adapter._meaning(answer)


def test_a_limit_says_in_words_until_when() -> None:
    soon = formatdate(time.time() + 90, usegmt=True).replace("GMT", "UTC")
    for status in (420, 429):
        error = meaning(not_allowed(f"request limit exceeded, try again after {soon}", status))
        assert error.retry_after_s == pytest.approx(90, abs=3)
    assert meaning(not_allowed(LIMITED, 429)).retry_after_s == 0
    assert meaning(not_allowed("recipient limit exceeded", 420)).retry_after_s is None
    assert meaning(not_allowed(LIMITED, 429), retry_after="7").retry_after_s == 7


def test_the_rates_reset_is_a_time_in_milliseconds() -> None:
    in_a_minute = str(int((time.time() + 60) * 1000))
    error = meaning(complaint(429, "Too Many Requests"), x_ratelimit_reset=in_a_minute)
    assert error.retry_after_s == pytest.approx(60, abs=3)


def test_the_id_keeps_its_angle_brackets() -> None:
    body = b'{"id": "<20240101.abc@mg.example.com>", "message": "Queued. Thank you."}'
    fields = fields_to()
    taken = accepted(CONFIG, mail_of(fields), Answer(200, {}, body))
    assert taken is not None
    assert taken.provider_message_id == "<20240101.abc@mg.example.com>"


@pytest.mark.parametrize(
    ("given", "base_url"),
    [
        ({}, "https://api.mailgun.net"),
        ({"region": "eu"}, "https://api.eu.mailgun.net"),
        ({"region": "eu", "endpoint": "https://gateway.example.com/mailgun/"}, "https://gateway.example.com/mailgun"),
    ],
)
def test_the_region_or_another_address_is_asked(given: dict[str, object], base_url: str) -> None:
    config = MailgunConfig.model_validate({"api_key": KEY, "domain": DOMAIN, **given})
    assert HttpAdapter(SERVICE, config, timeouts=HttpTimeouts()).base_url == base_url


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "an API key is needed"),
        ({"api_key": KEY}, "the domain to send through is needed"),
        ({"domain": DOMAIN}, "an API key is needed"),
        ({"api_key": "a b", "domain": DOMAIN}, "no blanks"),
        *(({"api_key": KEY, "domain": domain}, "must be a domain alone")
          for domain in ("a/b.example.com", "mg.example.com/v3", "..", "%2e.com", "bücher.example", "mg example.com",
                         "mg.example.com\n", "localhost", "-a.example.com")),
        ({"api_key": KEY, "domain": DOMAIN, "region": "asia"}, "'us' or 'eu'"),
        ({"api_key": KEY, "domain": DOMAIN, "subaccount": "a\r\nX-Evil: 1"}, "match pattern"),
        ({"api_key": KEY, "domain": DOMAIN, "test_mode": "perhaps"}, "valid boolean"),
        ({"api_key": KEY, "domain": DOMAIN, "colour": "red"}, "Extra inputs are not permitted"),
    ],
)  # fmt: skip
def test_bad_settings_are_refused_with_a_reason(given: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError) as raised:
        validate_config("mailgun", given)
    assert complaint in str(raised.value)


def test_the_registry_knows_it_and_hides_its_keys() -> None:
    given = {"api_key": KEY, "domain": DOMAIN, "webhook_signing_key": "signing-key-0001"}
    assert validate_config("mailgun", given) == given
    assert mask_config("mailgun", given) == {
        "api_key": "•••• 0001",
        "domain": DOMAIN,
        "webhook_signing_key": "•••• 0001",
    }


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"from": None}, 400),
        ({"from": "nobody"}, 400),
        ({"to": None}, 400),
        ({"to": "b@example"}, 400),
        ({"text": None}, 400),
        ({"surprise": "1"}, 400),
        ({"o:testmode": "perhaps"}, 400),
        ({"o:surprise": "yes"}, 400),
        ({"o:tag": ["t"] * 11}, 400),
        ({"v:long": "x" * 16_000}, 400),
        ({"subject": ["one", "two"]}, 400),
        ({"attachment": "no file"}, 400),
        ({}, 200),
    ],
)
async def test_the_fake_is_as_strict_as_the_real_one(change: dict[str, Any], status: int, server: FakeMailgun) -> None:
    mail = {"from": "a@example.com", "to": "b@example.net", "subject": "Hello", "text": "Hi", **change}
    parts = [
        (name, (None, value)) for name, values in mail.items() if values is not None
        for value in (values if isinstance(values, list) else [values])
    ]  # fmt: skip
    async with httpx.AsyncClient(auth=("api", KEY)) as client:
        answer = await client.post(f"{server.url}/v3/{DOMAIN}/messages", files=parts)
        assert answer.status_code == status, answer.text
        plain = await client.post(f"{server.url}/v3/{DOMAIN}/messages", json=mail)
        assert (plain.status_code, "Expecting 'multipart/form-data'" in plain.text) == (400, True)
    assert len(server.ledger) == (status == 200)
