"""A composed mail is what a standard parser reads back: every part as given, and nothing that was not given."""

import email.policy
import timeit
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes
from email.message import EmailMessage

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from janus_mail.content.addresses import InvalidAddress, Mailbox
from janus_mail.content.body import normal_line_ends
from janus_mail.content.characters import InvalidText
from janus_mail.content.compose import Composed, Content, Letter, message_id
from janus_mail.content.headers import InvalidHeader
from janus_mail.content.variables import InvalidVariable

SENDER = Mailbox("news@example.com", "Example News")
ANN = Mailbox("ann@example.com", "Ann")
DATE = datetime(2024, 7, 15, 10, 0, 5, 999_999, tzinfo=UTC)
MESSAGE_ID = "<0190b0a1@mail.example.com>"

LINE_CHARACTERS = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])
SUBJECTS = st.text(LINE_CHARACTERS, min_size=1).filter(lambda text: "{{" not in text)
BODIES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).filter(
    lambda text: "{{" not in text
)


def compose(
    content: Content,
    *,
    sender: Mailbox = SENDER,
    to: Sequence[Mailbox] = (ANN,),
    cc: Sequence[Mailbox] = (),
    variables: Mapping[str, str] | None = None,
    seed: str = "event",
    date: datetime = DATE,
) -> Composed:
    letter = Letter(content, sender, boundary_seed=seed)
    return letter.compose(to=to, cc=cc, variables=variables or {}, message_id=MESSAGE_ID, date=date)


def read(composed: Composed) -> EmailMessage:
    content = composed.content
    lines = content.split(b"\r\n")
    assert lines[-1] == b""
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    assert max(map(len, lines)) <= 998
    assert composed.smtputf8 or content.isascii()
    message = message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def body(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    assert isinstance(part, EmailMessage)
    assert not part.defects
    return str(part.get_content()).replace("\r\n", "\n")


def test_a_mail_of_text_and_html_is_byte_for_byte_this() -> None:
    content = Content(
        "Grundstücke",
        "Hello Ann,\nsee you.",
        "<p>Hello Ann,<br>see you at the café.</p>",
        reply_to=(Mailbox("desk@example.com"),),
        headers=(("X-Campaign", "Summer"),),
    )
    composed = compose(content, cc=[Mailbox("bob@example.com", "Lee, Bob")])
    boundary = read(composed).get_boundary()
    assert composed.content.decode("ascii") == (
        "Date: Mon, 15 Jul 2024 10:00:05 +0000\n"
        "From: Example News <news@example.com>\n"
        "To: Ann <ann@example.com>\n"
        'Cc: "Lee, Bob" <bob@example.com>\n'
        "Reply-To: desk@example.com\n"
        "Subject: =?utf-8?q?Grundst=C3=BCcke?=\n"
        "Message-ID: <0190b0a1@mail.example.com>\n"
        "X-Campaign: Summer\n"
        "MIME-Version: 1.0\n"
        f'Content-Type: multipart/alternative; boundary="{boundary}"\n'
        "\n"
        f"--{boundary}\n"
        'Content-Type: text/plain; charset="utf-8"\n'
        "Content-Transfer-Encoding: 7bit\n"
        "\n"
        "Hello Ann,\n"
        "see you.\n"
        f"--{boundary}\n"
        'Content-Type: text/html; charset="utf-8"\n'
        "Content-Transfer-Encoding: quoted-printable\n"
        "\n"
        "<p>Hello Ann,<br>see you at the caf=C3=A9.</p>\n"
        f"--{boundary}--\n"
    ).replace("\n", "\r\n")
    assert composed.subject == "Grundstücke"
    assert not composed.smtputf8


@given(
    SUBJECTS,
    BODIES,
    BODIES,
    st.text(LINE_CHARACTERS),
    st.lists(st.tuples(st.from_regex(r"X-[A-Za-z0-9-]{1,60}", fullmatch=True), st.text(LINE_CHARACTERS)), max_size=3),
)
@example("👩‍👩‍👧‍👦 نص", ".\n..\r\nFrom me \n", "<p>" + "x" * 2_000, "日本", [("X-A", "é" * 300)])
@example("=?utf-8?q?x?=", "--=_\n\n", "--\n--=_x--\n", "a\\", [("X-A", " =?utf-8?q?x?= ")])
@settings(max_examples=150, deadline=None)
def test_any_mail_comes_back_as_given(
    subject: str, text: str, html: str, name: str, headers: list[tuple[str, str]]
) -> None:
    content = Content(subject, text, html, headers=tuple(headers))
    composed = compose(content)
    message = read(composed)
    assert message["Subject"] == subject == composed.subject
    assert body(message, "plain") == normal_line_ends(text)
    assert body(message, "html") == normal_line_ends(html)
    assert [message[header] for header in ("Date", "Message-ID")] == ["Mon, 15 Jul 2024 10:00:05 +0000", MESSAGE_ID]
    own = ["Date", "From", "To", "Subject", "Message-ID", "MIME-Version", "Content-Type"]
    assert sorted(message.keys()) == sorted([*own, *(header for header, _ in headers)])
    for header, value in headers:
        assert value in message.get_all(header, [])
    assert composed == compose(content)


@given(BODIES)
@example("no end")
@example("an end\n")
@example("")
@example(".")
@example("ümlaut ")
@example("日本語")
@settings(max_examples=150, deadline=None)
def test_text_alone_is_one_part_that_ends_its_last_line(text: str) -> None:
    composed = compose(Content("Hello", text, None))
    message = read(composed)
    assert message.get_content_type() == "text/plain"
    given_text = normal_line_ends(text)
    assert body(message, "plain") in (given_text, given_text + "\n")
    assert composed.content.endswith(b"\r\n")


def test_html_alone_gets_a_text_part_made_from_it() -> None:
    message = read(compose(Content("Hello", None, "<h1>Hi</h1><p>Go <a href='https://x.example'>there</a></p>")))
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert body(message, "plain") == "Hi\n\nGo there (https://x.example)\n"


def test_a_mail_without_text_and_html_is_refused() -> None:
    with pytest.raises(ValueError, match="text or HTML"):
        compose(Content("Hello", None, None))


def test_placeholders_are_filled_in_subject_text_and_html() -> None:
    content = Content(
        "{{name}}: {{city}}", "Dear {{name}} <{{ email }}>,\n{{note}}", "<b>{{name}}</b> {{note}} {{email}}"
    )
    variables = {"city": "Köln", "note": 'a < b & "c"\r\nd'}
    composed = compose(content, to=[Mailbox("ann@example.com", "Ann O'Neil")], variables=variables)
    message = read(composed)
    assert composed.subject == message["Subject"] == "Ann O'Neil: Köln"
    assert body(message, "plain") == "Dear Ann O'Neil <ann@example.com>,\n" + 'a < b & "c"\nd'
    assert body(message, "html") == "<b>Ann O&#x27;Neil</b> a &lt; b &amp; &quot;c&quot;\nd ann@example.com"


def test_text_made_from_html_is_filled_without_escapes_and_only_where_the_html_is() -> None:
    html = "<p>{{name}} {{<b>code</b>}} <a href='{{url}}'>go</a></p>"
    composed = compose(Content("Hello", None, html), variables={"url": "https://x.example/?a=1&b=2"})
    assert body(read(composed), "plain") == "Ann {{code}} go (https://x.example/?a=1&b=2)\n"
    assert "href='https://x.example/?a=1&amp;b=2'" in body(read(composed), "html")


def test_one_letter_makes_each_recipient_their_own_mail() -> None:
    letter = Letter(Content("For {{name}}", "{{name}}", "<i>{{name}}</i>"), SENDER, boundary_seed="event")
    for name in ("Ann", "Bo\u0308", "日本", "From ", "x" * 999, " "):
        to = [Mailbox("a@example.com", name)]
        composed = letter.compose(to=to, variables={}, message_id=MESSAGE_ID, date=DATE)
        message = read(composed)
        assert (message["Subject"], body(message, "plain"), body(message, "html")) == (
            f"For {name}",
            name,
            f"<i>{name}</i>",
        )
        assert composed == compose(Content("For {{name}}", "{{name}}", "<i>{{name}}</i>"), to=to)


def test_a_group_has_no_name_or_email_of_its_own() -> None:
    with pytest.raises(InvalidVariable) as refused:
        compose(Content("Hello", "{{name}}", None), to=[ANN, Mailbox("bob@example.com")])
    assert refused.value.name == "name"
    message = read(compose(Content("Hello", "Hi", None), to=[ANN, Mailbox("bob@example.com")]))
    assert [address.addr_spec for address in message["To"].addresses] == ["ann@example.com", "bob@example.com"]


@pytest.mark.parametrize("value", ["a\r\nBcc: x@example.com", "a\nb", "a\rb", "a\0b"])
def test_a_value_cannot_write_a_header(value: str) -> None:
    with pytest.raises(InvalidVariable):
        compose(Content("Hello {{city}}", "x", None), variables={"city": value})


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_a_value_that_no_mail_can_carry_is_refused(value: str) -> None:
    with pytest.raises(InvalidVariable) as refused:
        compose(Content("Hello", "{{city}}", None), variables={"city": value})
    assert refused.value.name == "city"


def test_what_no_mail_can_say_is_refused_when_the_letter_is_made() -> None:
    for subject in ("a\nBcc: x@example.com", "a\r", "\0", "\ud800", "{{a}}\n"):
        with pytest.raises(InvalidHeader):
            Letter(Content(subject, "x", None), SENDER, boundary_seed="")
    for text, html in (("\0", None), (None, "\0"), ("x", "\ud800")):
        with pytest.raises(InvalidText):
            Letter(Content("Hello", text, html), SENDER, boundary_seed="")
    for header in (("Bcc", "x@example.com"), ("X-A", "a\r\nBcc: x@example.com"), ("X-A: b\r\nBcc", "x")):
        with pytest.raises(InvalidHeader):
            Letter(Content("Hello", "x", None, headers=(header,)), SENDER, boundary_seed="")
    with pytest.raises(InvalidAddress):
        Letter(Content("Hello", "x", None), Mailbox("a@example.com", "A\r\nBcc: x"), boundary_seed="")


@pytest.mark.parametrize("field", ["to", "cc", "sender", "reply_to"])
def test_smtputf8_is_asked_for_only_when_an_address_needs_it(field: str) -> None:
    jörg = Mailbox("jörg@xn--bcher-kva.example", "Jörg")
    content = Content("Grüße", "Grüße", None, reply_to=(jörg,) if field == "reply_to" else ())
    assert not compose(Content("Grüße", "日本", "<p>é"), to=[Mailbox("a@xn--bcher-kva.example", "Jörg")]).smtputf8
    composed = compose(
        content,
        sender=jörg if field == "sender" else SENDER,
        to=[jörg if field == "to" else ANN],
        cc=[jörg] if field == "cc" else [],
    )
    assert composed.smtputf8
    assert "<jörg@xn--bcher-kva.example>".encode() in composed.content
    read(composed)


def test_the_boundary_comes_from_the_seed_and_is_never_in_a_part() -> None:
    content = Content("Hello", "text {{a}}", "<p>html")
    boundary = read(compose(content, variables={"a": ""})).get_boundary()
    assert boundary == read(compose(content, variables={"a": "other"})).get_boundary()
    assert boundary != read(compose(content, variables={"a": ""}, seed="other")).get_boundary()
    hostile = compose(content, variables={"a": f"--{boundary}--"})
    assert read(hostile).get_boundary() not in (boundary, None)
    assert body(read(hostile), "plain") == f"text --{boundary}--"
    assert hostile == compose(content, variables={"a": f"--{boundary}--"})


def test_the_date_is_written_in_utc_and_must_be_aware() -> None:
    local = datetime(2024, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=2)))
    assert read(compose(Content("Hello", "x", None), date=local))["Date"] == "Thu, 29 Feb 2024 22:30:00 +0000"
    with pytest.raises(ValueError, match="aware"):
        compose(Content("Hello", "x", None), date=datetime(2024, 3, 1))  # noqa: DTZ001


def test_a_message_id_is_hex_at_a_domain() -> None:
    assert message_id("0190b0a1", "mail.example.com") == "<0190b0a1@mail.example.com>"
    for domain in ("", "a b", "x>\r\nBcc: y", "ü.example", "a@b"):
        with pytest.raises(ValueError, match="Message-ID"):
            message_id("0190b0a1", domain)
    letter = Letter(Content("Hello", "x", None), SENDER, boundary_seed="")
    with pytest.raises(ValueError, match="Message-ID"):
        letter.compose(to=[ANN], variables={}, message_id="<a@b>\r\nBcc: x", date=DATE)


def test_building_is_at_least_ten_times_as_fast_as_the_standard_library() -> None:
    text = "Dear reader, this is a line of a letter that goes on for 70 characters.\n" * 26
    html = '<p style="margin:0">Dear reader, this is a <b>line</b> of a letter, 80 chars.</p>\n' * 36
    letter = Letter(Content("Your letter", text, html), SENDER, boundary_seed="event")

    def ours() -> bytes:
        return letter.compose(to=[ANN], variables={}, message_id=MESSAGE_ID, date=DATE).content

    def theirs() -> bytes:
        message = EmailMessage(email.policy.SMTP)
        message["Date"], message["From"], message["To"] = (
            DATE,
            "Example News <news@example.com>",
            "Ann <ann@example.com>",
        )
        message["Subject"], message["Message-ID"] = "Your letter", MESSAGE_ID
        message.set_content(text)
        message.add_alternative(html, subtype="html")
        return message.as_bytes()

    def seconds(build: Callable[[], bytes]) -> float:
        return min(timeit.repeat(build, number=20, repeat=5))

    assert seconds(ours) * 10 < seconds(theirs)


def test_the_texts_alone_say_what_the_mail_says() -> None:
    content = Content("{{name}}", "Dear {{name}},\r\n{{note}}", "<b>{{name}}</b>\r\n{{note}}")
    letter = Letter(content, SENDER, boundary_seed="event")
    variables = {"note": 'a < b & "c"\r\nd'}
    texts = letter.texts(to=[ANN], variables=variables)
    message = read(letter.compose(to=[ANN], variables=variables, message_id=MESSAGE_ID, date=DATE))
    assert texts == ('Dear Ann,\na < b & "c"\nd', "<b>Ann</b>\na &lt; b &amp; &quot;c&quot;\nd")
    assert texts == (body(message, "plain"), body(message, "html"))


def test_the_texts_alone_are_made_from_the_html_where_that_is_all() -> None:
    letter = Letter(Content("Hello", None, "<p>Hi {{name}}, {{<b>code</b>}}</p>"), SENDER, boundary_seed="event")
    assert letter.texts(to=[ANN], variables={}) == ("Hi Ann, {{code}}\n", "<p>Hi Ann, {{<b>code</b>}}</p>")
    plain = Letter(Content("Hello", "Hi {{name}}", None), SENDER, boundary_seed="event")
    assert plain.texts(to=[ANN], variables={}) == ("Hi Ann", None)
    with pytest.raises(InvalidVariable):
        plain.texts(to=[ANN, Mailbox("bob@example.com")], variables={})
