"""Mails with files: what a standard parser reads back, and that all mails share what can be shared."""

import tracemalloc
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from janus_mail.content.addresses import Mailbox
from janus_mail.content.compose import Composed, Content, Letter
from janus_mail.content.files import (
    File,
    InvalidFile,
    check_content_id,
    check_content_type,
    check_filename,
    disposition,
    encoded_size,
    guessed_type,
)

SENDER = Mailbox("news@example.com")
DATE = datetime(2024, 7, 15, 10, 0, 5, tzinfo=UTC)
PNG = b"\x89PNG\r\n\x1a\n\0\xff"


def letter(*files: File, text: str | None = "Hello.", html: str | None = None, seed: str = "event") -> Letter:
    return Letter(Content("Subject", text, html, files=files), SENDER, boundary_seed=seed)


def composed(made: Letter, **variables: str) -> Composed:
    to = [Mailbox("ann@example.com")]
    return made.compose(to=to, variables=variables, message_id="<a@example.com>", date=DATE)


def read(mail: Composed) -> EmailMessage:
    lines = mail.content.split(b"\r\n")
    assert lines[-1] == b""
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    assert max(map(len, lines)) <= 998
    assert mail.content.isascii()
    message = message_from_bytes(mail.content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    for part in message.walk():
        assert not part.defects
        if part.get_content_disposition():
            assert not part["Content-Disposition"].defects
    return message


def shape(message: EmailMessage) -> object:
    """`mixed(plain, pdf)` as nested tuples."""
    if not message.is_multipart():
        return message.get_content_subtype()
    parts = [part for part in message.iter_parts() if isinstance(part, EmailMessage)]
    return (message.get_content_subtype(), *map(shape, parts))


def files_of(message: EmailMessage) -> list[tuple[str | None, str, object, str | None]]:
    return [
        (part.get_filename(), part.get_content_type(), part.get_payload(decode=True), part["Content-ID"])
        for part in message.walk()
        if part.get_content_disposition()
    ]


PDF = ("invoice.pdf", "application/pdf", b"%PDF-1.7 \r\n.\r\n" + bytes(range(256)))


@pytest.mark.parametrize(
    ("text", "html", "with_logo", "with_pdf", "wanted"),
    [
        ("t", None, False, True, ("mixed", "plain", "pdf")),
        ("t", "<p>h", False, True, ("mixed", ("alternative", "plain", "html"), "pdf")),
        ("t", "<img src=cid:logo>", True, False, ("alternative", "plain", ("related", "html", "png"))),
        ("t", "<p>", True, True, ("mixed", ("alternative", "plain", ("related", "html", "png")), "pdf")),
        (None, "<p>{{email}}", True, True, ("mixed", ("alternative", "plain", ("related", "html", "png")), "pdf")),
        ("t", None, True, False, ("mixed", "plain", "png")),  # nothing could show it
    ],
)
def test_each_mail_has_the_levels_that_it_needs_and_no_others(
    text: str | None, html: str | None, with_logo: bool, with_pdf: bool, wanted: object
) -> None:
    files = [File("logo.png", "image/png", PNG, "logo")] if with_logo else []
    files += [File(*PDF)] if with_pdf else []
    message = read(composed(letter(*files, text=text, html=html)))
    assert shape(message) == wanted
    shown = html is not None
    expected = [("logo.png", "image/png", PNG, "<logo>" if shown else None)] if with_logo else []
    expected += [(*PDF, None)] if with_pdf else []
    assert sorted(files_of(message), key=str) == sorted(expected, key=str)
    for part in message.walk():
        inline = part.get_content_type() == "image/png" and shown
        assert part.get_content_disposition() in ((None,) if part.is_multipart() else (None, "attachment", "inline"))
        assert (part.get_content_disposition() == "inline") == inline


def test_a_mail_with_a_file_is_byte_for_byte_this() -> None:
    mail = composed(letter(File("paper.txt", "text/plain", b"x" * 60), html="<p>Hello."))
    outer = read(mail).get_boundary()
    inner = next(p.get_boundary() for p in read(mail).iter_parts())
    assert mail.content.decode("ascii").partition("MIME-Version")[2] == (
        ": 1.0\n"
        f'Content-Type: multipart/mixed; boundary="{outer}"\n'
        "\n"
        f"--{outer}\n"
        f'Content-Type: multipart/alternative; boundary="{inner}"\n'
        "\n"
        f"--{inner}\n"
        'Content-Type: text/plain; charset="utf-8"\n'
        "Content-Transfer-Encoding: 7bit\n"
        "\n"
        "Hello.\n"
        f"--{inner}\n"
        'Content-Type: text/html; charset="utf-8"\n'
        "Content-Transfer-Encoding: 7bit\n"
        "\n"
        "<p>Hello.\n"
        f"--{inner}--\n"
        "\n"
        f"--{outer}\n"
        "Content-Type: text/plain\n"
        "Content-Transfer-Encoding: base64\n"
        'Content-Disposition: attachment; filename="paper.txt"\n'
        "\n"
        + "eHh4" * 19 + "\n"
        "eHh4\n"
        "\n"
        f"--{outer}--\n"
    ).replace("\n", "\r\n")  # fmt: skip


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="/\\"), min_size=1,
                max_size=255).filter(lambda name: name.strip() not in ("", ".", ".."))  # fmt: skip


@given(NAMES, st.binary(max_size=400))
@example("Rechnung März 2024.pdf", b"")
@example("日本" * 127 + "x", b"\r\n.\r\n")
@example("x" * 251 + ".pdf", b"x")
@example(" a  b ", b"x")
@example('a"b;c=d%41 =?utf-8?q?x?=.txt', b"--=_")
@example("👩‍👩‍👧‍👦.png", b"1")
@settings(max_examples=150, deadline=None)
def test_any_name_and_any_content_come_back_as_given(name: str, content: bytes) -> None:
    name = check_filename(name)
    files = (File(name, "a/b", content), File(name, "image/png", content, "id@x"))
    found = files_of(read(composed(letter(*files, html="<p>"))))
    assert sorted(found, key=str) == sorted(
        [(name, "a/b", content, None), (name, "image/png", content, "<id@x>")], key=str
    )


def test_equal_events_make_equal_mails_and_no_boundary_stands_in_a_text() -> None:
    def made(text: str) -> Letter:
        return letter(File(*PDF), File("l.png", "image/png", PNG, "l"), text=text, html="<p>", seed="seed")

    first = composed(made("Hello."))
    assert first.content == composed(made("Hello.")).content
    boundaries = [part.get_boundary() for part in read(first).walk() if part.is_multipart()]
    assert len(set(boundaries)) == 3
    hostile = "\n".join(f"--{boundary}\n\n--{boundary}--" for boundary in boundaries)
    message = read(composed(made(hostile)))
    assert shape(message) == ("mixed", ("alternative", "plain", ("related", "html", "png")), "pdf")
    assert hostile in str(message.get_body(("plain",)).get_content()).replace("\r\n", "\n")  # type: ignore[union-attr]


def test_the_recipients_of_an_event_share_its_encoded_files() -> None:
    content = bytes(3 * 2**20)
    made = letter(File("big.bin", "application/octet-stream", content), text="Dear {{name}}")
    tracemalloc.start()
    try:
        sizes = [len(composed(made, name=f"n{number}").content) for number in range(5)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert min(sizes) > encoded_size(len(content))
    assert peak < 1.2 * sizes[0]  # one mail and nothing beside it


def test_what_a_file_becomes_in_base64_is_known_beforehand() -> None:
    for octets in (0, 1, 2, 3, 56, 57, 58, 114, 4096 * 57, 4096 * 57 + 1, 10**6):
        assert sum(map(len, File("x", "a/b", bytes(octets)).encoded())) == encoded_size(octets)


def test_no_file_shows_its_content() -> None:
    assert "secret" not in repr(File("a.txt", "text/plain", b"secret"))


@pytest.mark.parametrize(
    "name",
    ["", "x" * 256, "a/b", "a\\b", "..", ".", "a\r\nBcc: x", "a\0", "a\x7f", "a\x85", "a\u2028b", "  ", "\ud800"],
)
def test_a_name_that_could_do_harm_is_refused(name: str) -> None:
    with pytest.raises(InvalidFile):
        check_filename(name)


@pytest.mark.parametrize(
    "kind",
    ["", "pdf", "a/b/c", "text/plain; charset=utf-8", "text/plain\r\nX: y", "multipart/mixed", "Message/RFC822",
     "message/partial", "text/", "/x", "té/x", "a b/c"],
)  # fmt: skip
def test_a_type_that_no_file_can_have_is_refused(kind: str) -> None:
    with pytest.raises(InvalidFile):
        check_content_type(kind)


@pytest.mark.parametrize("content_id", ["", "<logo>", "a b", "ä", "a\r\nb", "x" * 256, "a>"])
def test_a_content_id_that_no_header_can_have_is_refused(content_id: str) -> None:
    with pytest.raises(InvalidFile):
        check_content_id(content_id)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.pdf", "application/pdf"),
        ("A.PNG", "image/png"),
        ("b.tar.gz", "application/gzip"),
        ("letter.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        (".csv", "text/csv"),
        ("mail.eml", "application/octet-stream"),  # message/rfc822 may not be encoded in base64 (RFC 2046 5.2.1)
        ("x.unheard", "application/octet-stream"),
        ("none", "application/octet-stream"),
        ("data:,x", "application/octet-stream"),
    ],
)
def test_the_type_is_guessed_from_the_ending(name: str, kind: str) -> None:
    assert guessed_type(name) == kind


def test_a_download_is_called_as_the_file_also_in_old_programs() -> None:
    assert disposition("attachment", "a b.pdf") == 'attachment; filename="a b.pdf"'
    assert disposition("attachment", 'März"1.pdf') == (
        "attachment; filename=\"M_rz_1.pdf\"; filename*=utf-8''M%C3%A4rz%221.pdf"
    )


@pytest.mark.parametrize("turn", ["\u202a", "\u202e", "\u2066", "\u2069"])
def test_a_name_that_reads_other_than_it_is_is_refused(turn: str) -> None:
    with pytest.raises(InvalidFile, match="direction"):
        check_filename(f"a{turn}txt.exe")
    assert check_filename("\u200eתמונה.png") == "\u200eתמונה.png"  # a mark turns nothing
