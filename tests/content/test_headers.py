"""Headers come back from a reader as they were given, whatever they hold, and nothing else comes with them."""

import email.policy
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from janus_mail.content.addresses import InvalidAddress, Mailbox
from janus_mail.content.headers import (
    OWNED_HEADERS,
    InvalidHeader,
    check_custom_header,
    encode_mailboxes,
    encode_unstructured,
    valid_header_name,
)

LINE_CHARACTERS = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])
TRICKY_PIECES = st.sampled_from(
    [
        "=?",
        "?=",
        "=?utf-8?q?x?=",
        "=",
        "_",
        " ",
        "  ",
        "\t",
        "\xa0",
        "a" * 70,
        "b" * 900,
        " " * 70,
        "é",
        "日本語",
        "😀",
        '"',
        "\\",
    ]
)
VALUES = st.one_of(
    st.text(st.one_of(LINE_CHARACTERS, st.just("\t"))), st.lists(st.one_of(TRICKY_PIECES, st.text("ab é"))).map("".join)
)
HEADER_NAMES = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":"), min_size=1, max_size=126
)


def read(line: bytes) -> EmailMessage:
    message = message_from_bytes(line + b"\r\n", policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def read_mailboxes(line: bytes) -> list[tuple[str, str]]:
    """Names and addresses. Not through policy.default: it keeps the space between two encoded-words of a name."""
    value = message_from_bytes(line + b"\r\n", policy=email.policy.compat32).values()[0].replace("\r\n", "")
    return [(str(make_header(decode_header(name))), address) for name, address in getaddresses([value])]


def assert_lines_are_sound(line: bytes, name: str) -> None:
    assert line.endswith(b"\r\n")
    assert line.isascii()
    assert line.startswith(f"{name}:".encode())
    first, *folded = line[:-2].split(b"\r\n")
    assert b"\r" not in first + b"".join(folded)
    assert b"\n" not in first + b"".join(folded)
    assert all(part[:1] in (b" ", b"\t") and part.strip() for part in folded)
    assert all(len(part) <= 998 for part in (first, *folded))


@given(VALUES)
@example("=?utf-8?q?x?=")
@example("a=?utf-8?q?x?=b")
@example(" \t leading and trailing \t ")
@example("two  blanks\tand a tab")
@example("   ")
@example("日本語の件名が続く" * 30)
@example("نص من اليمين إلى اليسار")
@example("👩‍👩‍👧‍👦" * 40)
@example("x" * 998)
@example("word " * 199 + "end")
@example("é" + " " * 60 + "é")
@example("plain word é plain")
@settings(max_examples=400, deadline=None)
def test_a_value_comes_back_as_given(value: str) -> None:
    line = encode_unstructured("Subject", value)
    assert_lines_are_sound(line, "Subject")
    message = read(line)
    assert message["Subject"] == value
    assert message.keys() == ["Subject"]


@given(HEADER_NAMES, VALUES)
@settings(max_examples=400, deadline=None)
def test_a_value_comes_back_under_any_name(name: str, value: str) -> None:
    line = encode_unstructured(name, value)
    assert_lines_are_sound(line, name)
    ((read_name, read_value),) = message_from_bytes(line + b"\r\n", policy=email.policy.compat32).items()
    assert read_name == name
    unfolded = EmailMessage(email.policy.default)
    unfolded["X-Value"] = read_value.replace("\r\n", "").lstrip(" ")
    assert unfolded["X-Value"] == value


@given(VALUES)
@settings(deadline=None)
def test_an_encoded_word_is_short_and_stands_for_whole_characters(value: str) -> None:
    for word in encode_unstructured("Subject", value).split():
        if word.startswith(b"=?utf-8?"):
            ((octets, charset),) = decode_header(word.decode("ascii"))
            assert len(word) <= 75
            assert charset == "utf-8"
            assert octets.decode("utf-8")


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("Hello World", b"Subject: Hello World\r\n"),
        ("", b"Subject: \r\n"),
        ("Grundstücke", b"Subject: =?utf-8?q?Grundst=C3=BCcke?=\r\n"),
        ("日本語", b"Subject: =?utf-8?b?5pel5pys6Kqe?=\r\n"),
        ("Only one Grundstück here", b"Subject: Only one =?utf-8?q?Grundst=C3=BCck?= here\r\n"),
        ("=?utf-8?q?x?=", b"Subject: =?utf-8?b?PT91dGYtOD9xP3g/PQ==?=\r\n"),
    ],
)
def test_a_value_is_encoded_only_where_it_must_be(value: str, line: bytes) -> None:
    assert encode_unstructured("Subject", value) == line


def test_ascii_is_folded_before_the_word_that_passes_column_78() -> None:
    line = encode_unstructured("Subject", "twelve chars " * 12 + "end")
    assert [len(part) for part in line.split(b"\r\n")[:-1]] == [73, 78, 17]
    assert b"=?" not in line


@given(st.lists(st.sampled_from(["a", "plain", "longer-than-that", "é", "Wörter", "日本語"]), min_size=1, max_size=60))
@settings(deadline=None)
def test_lines_with_encoded_words_stay_within_76(words: list[str]) -> None:
    line = encode_unstructured("Subject", " ".join(words))
    assert all(len(part) <= (76 if b"=?" in part else 78) for part in line.split(b"\r\n"))


@pytest.mark.parametrize(
    "character", ["\r", "\n", "\r\nBcc: x@example.com", "\0", "\x1b", "\x7f", "\x85", "\u2028", "\ud800"]
)
def test_a_value_that_could_break_the_line_is_refused(character: str) -> None:
    with pytest.raises(InvalidHeader):
        encode_unstructured("Subject", f"a{character}b")
    with pytest.raises(InvalidHeader):
        check_custom_header("X-Mine", f"a{character}b")
    with pytest.raises(InvalidAddress):
        encode_mailboxes("To", [Mailbox("a@example.com", f"a{character}b")])
    with pytest.raises(InvalidAddress):
        encode_mailboxes("To", [Mailbox(f"a{character}b@example.com")], smtputf8=True)


NAMES = st.one_of(
    st.none(), st.text(LINE_CHARACTERS, min_size=1), VALUES.filter(lambda name: name and "\t" not in name)
)


@given(st.lists(NAMES, min_size=1, max_size=5))
@example(["Ann"])
@example(["Lee, Ann"])
@example(['back\\slash and "quotes"'])
@example(["  edges  "])
@example(["=?utf-8?q?x?="])
@example(["Jörg Müller-Lüdenscheidt von und zu Hohenstein und so weiter bis zum Ende der Zeile"])
@example(["日本" * 100, None, "نص من اليمين", "😀" * 50])
@example(['"' * 900])
@settings(max_examples=400, deadline=None)
def test_names_and_addresses_come_back_as_given(names: list[str | None]) -> None:
    mailboxes = [Mailbox(f"user{number}@example.com", name) for number, name in enumerate(names)]
    line = encode_mailboxes("To", mailboxes)
    assert_lines_are_sound(line, "To")
    assert read_mailboxes(line) == [(mailbox.name or "", mailbox.address) for mailbox in mailboxes]
    parsed = read(line)["To"].addresses
    assert [address.addr_spec for address in parsed] == [mailbox.address for mailbox in mailboxes]


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("Ann Lee", b"Ann Lee"),
        ("Dr. Ann Lee", b'"Dr. Ann Lee"'),
        ('Ann "Bo" Lee', b'"Ann \\"Bo\\" Lee"'),
        ("Müllersche Buchhandlung", b"=?utf-8?q?M=C3=BCllersche_Buchhandlung?="),
    ],
)
def test_a_name_is_atoms_or_quoted_or_encoded(name: str, phrase: bytes) -> None:
    assert encode_mailboxes("To", [Mailbox("a@example.com", name)]) == b"To: " + phrase + b" <a@example.com>\r\n"


def test_many_mailboxes_are_folded_between_them() -> None:
    line = encode_mailboxes("Cc", [Mailbox(f"user{number}@example.com") for number in range(100)])
    assert max(map(len, line.split(b"\r\n"))) <= 78
    assert len(read(line)["Cc"].addresses) == 100


def test_an_address_beyond_ascii_is_written_as_utf8_only_where_that_is_allowed() -> None:
    mailboxes = [Mailbox("jörg@example.com", "Ann")]
    with pytest.raises(InvalidAddress):
        encode_mailboxes("To", mailboxes)
    assert encode_mailboxes("To", mailboxes, smtputf8=True) == "To: Ann <jörg@example.com>\r\n".encode()


@pytest.mark.parametrize("name", ["From", "sender", "TO", "Bcc", "Message-ID", "Content-Any", "ARC-Seal", "Resent-To"])
def test_headers_that_janus_writes_are_refused(name: str) -> None:
    with pytest.raises(InvalidHeader, match="Janus writes"):
        check_custom_header(name, "x")


@pytest.mark.parametrize("name", ["", "X Y", "X:", "X\n", "X-Ümlaut", "X\t", "x" * 127])
def test_header_names_that_no_mail_can_have_are_refused(name: str) -> None:
    assert not valid_header_name(name)
    with pytest.raises(InvalidHeader):
        check_custom_header(name, "x")


def test_other_headers_are_allowed_with_any_value_of_one_line() -> None:
    check_custom_header("X-Campaign", "Sömmer\t2024")
    check_custom_header("List-Unsubscribe", "<https://example.com/u?id=1>")
    check_custom_header("In-Reply-To", "<1@example.com>")
    assert all(name == name.lower() for name in OWNED_HEADERS)
