"""Bodies arrive as they were written, through every hop that may touch them."""

import email.policy
import quopri
from base64 import b64decode
from email import message_from_bytes
from email.message import EmailMessage

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from janus_mail.content.body import TextPart, encode_text, normal_line_ends
from janus_mail.content.characters import InvalidText
from janus_mail.content.variables import Template

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
PIECES = st.sampled_from(
    ["From ", ".", "..", " ", "\t", "\n", "\r", "\r\n", "=", "é", "日本", "a" * 76, "b" * 998, "=_", "\f", "\x7f"]
)
TEXTS = st.one_of(st.text(CHARACTERS), st.lists(st.one_of(PIECES, st.text(CHARACTERS, max_size=3))).map("".join))


def read(part: bytes) -> tuple[str, str]:
    """Transfer encoding and text (with LF) as the standard library's parser sees them."""
    message = message_from_bytes(part, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    text = message.get_content()
    return message["Content-Transfer-Encoding"], text.replace("\r\n", "\n")


def assert_lines_are_sound(octets: bytes) -> None:
    assert octets.isascii()
    lines = octets.split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    assert max(map(len, lines)) <= 998


@given(TEXTS)
@example("")
@example("a line\n.\n..\n.x\n.")
@example("From me\nFrom you")
@example("Fröm\nFrom " + "x" * 90)
@example("blanks  \n\t\n end ")
@example("x" * 998)
@example("x" * 999)
@example("x" * 2_000 + "\nshort")
@example("mixed\rline\nends\r\n")
@example("👩‍👩‍👧‍👦 نص من اليمين " * 50)
@example("日本語" * 1_000)
@settings(max_examples=300, deadline=None)
def test_any_text_comes_back_as_given(text: str) -> None:
    part = encode_text(text, "plain")
    assert_lines_are_sound(part)
    assert read(part)[1] == normal_line_ends(text)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain ASCII\n", "7bit"),
        (".\n", "7bit"),
        ("x" * 998, "7bit"),
        ("x" * 999, "quoted-printable"),
        ("Grüße aus dem schönen Wien\n", "quoted-printable"),
        ("日本語のテキスト\n", "base64"),
        ("From me\n", "quoted-printable"),
        ("me\nFrom you\n", "quoted-printable"),
        ("a blank at the end \n", "quoted-printable"),
        ("a tab at the end\t", "quoted-printable"),
    ],
)
def test_the_smallest_encoding_that_keeps_the_text_is_taken(text: str, encoding: str) -> None:
    assert read(encode_text(text, "plain")) == (encoding, text)


def test_a_part_with_placeholders_takes_the_smallest_encoding_too() -> None:
    for text, encoding in (("Hi {{a}}", "7bit"), ("Grüße, dear {{a}}", "quoted-printable"), ("日本語{{a}}", "base64")):
        assert read(TextPart(Template(text), "plain").encode({"a": "Ann"}))[0] == encoding
    assert read(TextPart(Template("Hi {{a}}"), "plain").encode({"a": "日本語"})) == ("base64", "Hi 日本語")


@given(TEXTS.filter(lambda text: not text.isascii()))
@settings(deadline=None)
def test_quoted_printable_and_base64_are_compared_by_size(text: str) -> None:
    encoding = read(encode_text(text, "plain"))[0]
    octets = normal_line_ends(text).replace("\n", "\r\n").encode()
    base64_size = -(-len(octets) // 3) * 4 + 2 * -(-len(octets) // 57)
    quoted_size = len(quopri.encodestring(octets.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n"))
    if encoding == "quoted-printable":  # quopri's own lines differ by an escape or a soft break here and there
        assert quoted_size <= base64_size * 1.1 + 20
    else:
        assert base64_size <= quoted_size * 1.1 + 20


def test_what_stores_and_gateways_change_does_not_stand_at_their_mercy() -> None:
    body = encode_text("From ü\nFrom me \n.\n" + "x" * 70 + " From you\n", "plain").partition(b"\r\n\r\n")[2]
    lines = body.split(b"\r\n")
    assert not any(line.startswith(b"From ") or line.endswith((b" ", b"\t")) or line == b"." for line in lines)
    assert max(map(len, lines)) <= 76


def test_quoted_printable_lines_stay_within_76_and_keep_crlf_without_a_line_end_in_the_text() -> None:
    part = encode_text("ä" + "x" * 500, "plain")
    assert_lines_are_sound(part)
    assert max(map(len, part.partition(b"\r\n\r\n")[2].split(b"\r\n"))) <= 76


def test_base64_lines_stay_within_76() -> None:
    body = encode_text("日本語" * 100, "html").partition(b"\r\n\r\n")[2]
    assert max(map(len, body.split(b"\r\n"))) == 76
    assert b64decode(body).decode() == "日本語" * 100


def test_a_part_names_its_type_charset_and_encoding() -> None:
    assert encode_text("<p>Hi</p>", "html") == (
        b'Content-Type: text/html; charset="utf-8"\r\nContent-Transfer-Encoding: 7bit\r\n\r\n<p>Hi</p>'
    )


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "ü\udfff"])
def test_what_no_mail_can_carry_is_refused(text: str) -> None:
    with pytest.raises(InvalidText):
        encode_text(text, "plain")
    with pytest.raises(InvalidText):
        TextPart(Template(text + "{{a}}"), "plain")


FILLINGS = st.one_of(TEXTS, st.sampled_from(["", "Ann", " ", "From ", "om ", "F", "ü", "a\nb"])).map(normal_line_ends)
LITERALS = st.lists(
    st.one_of(st.sampled_from(["{{a}}", "{{b}}", "Fr", "From ", "\n", " ", "{{c}}"]), TEXTS), max_size=8
)


@given(LITERALS.map("".join), FILLINGS, FILLINGS)
@example("Fr{{a}}", "om me", "")
@example("{{a}}{{b}} me", "Fr", "om")
@example("Hi {{a}}\nbye", "", "")
@example("{{a}}" + "x" * 900, "y" * 99, "")
@example("{{a}}\nplain\n" * 3, "ü", "")
@example("日本語{{a}}" * 20, "ü", "")
@settings(max_examples=300, deadline=None)
def test_a_filled_part_reads_as_the_filled_text(text: str, first: str, second: str) -> None:
    values = {"a": first, "b": second}
    template = Template(text, frozenset(values))
    part = TextPart(template, "plain").encode(values)
    assert_lines_are_sound(part)
    assert read(part)[1] == Template(normal_line_ends(text), frozenset(values)).fill(values)
    assert TextPart(template, "plain").encode(values) == part


@given(LITERALS.map("".join), FILLINGS, FILLINGS)
@settings(deadline=None)
def test_a_filled_part_is_as_sturdy_as_one_without_placeholders(text: str, first: str, second: str) -> None:
    values = {"a": first, "b": second}
    body = TextPart(Template(text, frozenset(values)), "plain").encode(values).partition(b"\r\n\r\n")[2]
    assert not any(line.startswith(b"From ") or line.endswith((b" ", b"\t")) for line in body.split(b"\r\n"))
