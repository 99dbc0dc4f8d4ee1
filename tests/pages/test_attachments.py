"""Files on the pages: chosen on `/add`, listed with the event, taken out of a caught mail."""

import base64
import re
import uuid
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

import pytest

from janus_mail.events.attachments import MAX_OCTETS
from janus_mail.pages.letter import MOST_SOURCE, read_file, read_html, read_letter
from janus_mail.storage.database import Database
from tests.pages.conftest import Visitor
from tests.pages.gallery import Gallery
from tests.pages.reading import Page, faults_of

PNG = b"\x89PNG\0\xff"
FILLED = {"email_subject": "Hello", "email_content": "It works.", "recipients": "ann@example.com"}

File = tuple[str, bytes, str]


async def send(visitor: Visitor, *files: File, status: int = 200, **fields: str) -> Page:
    """The form with files, as a browser sends it."""
    page = await visitor.get("/add")
    sent = {**page.form("/add").values(), **FILLED, **fields}
    del sent["attachments"]
    parts: Any = [("attachments", file) for file in files] or [("attachments", ("", b"", "application/octet-stream"))]
    answer = await visitor.client.post("/add", data=sent, files=parts)
    assert answer.status_code == status, answer.text[-2000:]
    visitor.address = str(answer.url)
    return Page(answer.text)


async def entries(database: Database) -> list[dict[str, Any]]:
    [row] = await database.pool.fetch("SELECT attachments FROM events")
    shown: list[dict[str, Any]] = row["attachments"]
    return shown


def problems(page: Page) -> list[str]:
    return [item.text for item in page.main.one("div", id="errors").all("li")]


@pytest.mark.usefixtures("empty_gallery")
async def test_files_that_are_chosen_go_along_and_can_be_had_back(visitor: Visitor, database: Database) -> None:
    page = await send(visitor, ("Rechnung März.pdf", b"%PDF", "application/pdf"), ("b.md", b"#", "text/x; charset=a"))
    assert [(one["filename"], one["content_type"], one["size"]) for one in await entries(database)] == [
        ("Rechnung März.pdf", "application/pdf", 4), ("b.md", "text/x", 1),
    ]  # fmt: skip
    links = {
        link.text: link["href"] for link in page.main.all("a") if "/attachments/" in link.attributes.get("href", "")
    }
    assert list(links) == ["Rechnung März.pdf", "b.md"]
    file = await visitor.client.get(links["Rechnung März.pdf"])
    assert (file.content, file.headers["content-type"]) == (b"%PDF", "application/pdf")
    assert file.headers["content-disposition"].startswith("attachment; ")
    assert file.headers["content-security-policy"].startswith("sandbox")
    assert file.headers["x-content-type-options"] == "nosniff"
    await visitor.get(links["b.md"].removesuffix("1") + "2", status=404)
    await visitor.get(f"/events/{uuid.uuid4()}/attachments/0", status=404)


@pytest.mark.usefixtures("empty_gallery")
async def test_a_form_without_files_has_none(visitor: Visitor, database: Database) -> None:
    await send(visitor)
    assert await entries(database) == []


@pytest.mark.usefixtures("empty_gallery")
async def test_an_error_keeps_what_was_typed_and_says_that_files_must_be_chosen_again(
    visitor: Visitor, database: Database
) -> None:
    one, two = ("a.pdf", b"1", "application/pdf"), ("b.pdf", b"2", "application/pdf")
    page = await send(visitor, one, two, recipients="nobody", status=400)
    assert faults_of(page) == []
    said = "Choose the 2 files again: a browser does not keep files for a page that comes back."
    assert f"Attachments: {said}" in problems(page)
    assert page.form("/add").values()["email_subject"] == "Hello"
    [more] = [each for each in page.main.all("details") if each.all("input", id="attachments")]
    assert "open" in more.attributes
    page = await send(visitor, one, status=403, csrf_token="forged")
    assert any("Choose “a.pdf” again" in problem for problem in problems(page))
    assert await database.pool.fetchval("SELECT count(*) FROM attachments") == 0


@pytest.mark.usefixtures("empty_gallery")
@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([("a.bin", bytes(MAX_OCTETS + 1), "a/b")], "These files have 26.2 MB; an email may have 25 MiB of them."),
        ([("a.bin", b"x", "a/b")] * 101, "These are 101 files; an email may have 100."),
        ([("empty.txt", b"", "text/plain")], "“empty.txt”: It is empty."),
        ([("a/b.txt", b"x", "text/plain")], "“a/b.txt”: Give the file's name alone, without a path."),
    ],
)
async def test_files_that_no_mail_can_have_are_refused(visitor: Visitor, files: list[File], said: str) -> None:
    page = await send(visitor, *files, status=400)
    assert f"Attachments: {said}" in problems(page)
    assert page.form("/add").values()["email_content"].strip() == "It works."


@pytest.mark.usefixtures("empty_gallery")
async def test_a_form_that_is_sent_twice_makes_one_event_and_with_other_files_another(
    visitor: Visitor, database: Database
) -> None:
    page = await visitor.get("/add")
    sent = {**page.form("/add").values(), **FILLED}
    del sent["attachments"]
    for content in (b"1", b"1", b"2"):
        await visitor.client.post("/add", data=sent, files=[("attachments", ("a.txt", content, "text/plain"))])
    assert await database.pool.fetchval("SELECT count(*) FROM events") == 2


@pytest.mark.usefixtures("empty_gallery")
async def test_the_check_weighs_files_and_says_that_they_must_be_chosen_again(visitor: Visitor) -> None:
    page = await send(visitor, ("a.bin", bytes(3_000_000), "a/b"), check="1")
    assert "4.1 MB" in page.root.one("div", id="happens").text
    assert "Choose “a.bin” again" in page.root.one("span", id="attachments-hint").text
    # With JavaScript only sizes and names come before the form is sent.
    values = {**page.form("/add").values(), **FILLED, "attachments": "6000000 a.bin"}
    update = await visitor.client.post("/add/check", data=values, headers={"HX-Request": "true"})
    assert "8.2 MB" in update.text
    values["attachments"] = "[object File]"
    assert (await visitor.client.post("/add/check", data=values)).status_code == 200


@pytest.mark.usefixtures("empty_gallery")
async def test_an_event_that_is_used_again_says_that_its_files_stay_behind(visitor: Visitor) -> None:
    await send(visitor, ("a.pdf", b"1", "application/pdf"))
    page = await visitor.get(f"/add?again={visitor.address.rpartition('/')[2]}")
    assert "do not come along" in page.root.one("span", id="attachments-hint").text
    assert faults_of(page) == []


def mail_with_files() -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.com", "b@example.com", "With files"
    mail.set_content("Hello.")
    mail.add_alternative('<img src="cid:logo@x"><img src="CID:other">', subtype="html")
    mail.get_payload()[1].add_related(PNG, "image", "png", cid="<logo@x>", filename="logo.png")  # type: ignore[union-attr,index]
    mail.add_attachment(b"%PDF" * 1000, "application", "pdf", filename="Rechnung März.pdf")
    mail.add_attachment("<script>alert(1)</script>", subtype="html", filename="../x.html")
    return mail


async def catch(gallery: Gallery, mail: EmailMessage, database: Database) -> None:
    await gallery.caught("With files", "b@example.com", 0)
    await database.pool.execute(
        "UPDATE captured_mails SET content = $1 WHERE subject = 'With files'", mail.as_bytes(policy=SMTP)
    )


async def test_the_mailbox_lists_the_files_of_a_mail_and_gives_them_out(
    visitor: Visitor, gallery: Gallery, database: Database
) -> None:
    await catch(gallery, mail_with_files(), database)
    page = await visitor.get("/mailbox")
    assert faults_of(page) == []
    links = [link for link in page.main.all("a") if "/attachments/" in link.attributes.get("href", "")]
    assert [link.text for link in links] == ["logo.png", "Rechnung März.pdf", "part-3"]
    assert "4.0 kB" in page.main.one("dl", class_="facts").text
    pdf, html = [await visitor.client.get(links[place]["href"]) for place in (1, 2)]
    assert pdf.content == b"%PDF" * 1000
    for answer in (pdf, html):
        assert answer.headers["content-disposition"].startswith("attachment; ")
        assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    await visitor.get(re.sub(r"\d$", "3", links[0]["href"]), status=404)
    await visitor.get(f"/mailbox/{uuid.uuid4()}/attachments/0", status=404)


async def test_a_caught_mail_shows_its_own_images_in_a_frame_that_asks_for_nothing(
    visitor: Visitor, gallery: Gallery, database: Database
) -> None:
    await catch(gallery, mail_with_files(), database)
    page = await visitor.get("/mailbox")
    answer = await visitor.client.get(page.main.one("iframe")["src"])
    assert f"data:image/png;base64,{base64.b64encode(PNG).decode()}" in answer.text
    assert "CID:other" in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox;")
    assert "img-src data:" in policy


@pytest.mark.usefixtures("empty_gallery")
async def test_the_preview_of_an_event_shows_images_and_its_source_all_files(
    visitor: Visitor, database: Database
) -> None:
    await send(visitor, ("a.pdf", b"%PDF", "application/pdf"), email_html="<img src='cid:logo'>")
    event_id = visitor.address.rpartition("/")[2]
    await database.pool.execute(
        """WITH kept AS (INSERT INTO attachments (workspace_id, digest, size, content)
                         SELECT workspace_id, '\\x00', 6, $1 FROM events)
           UPDATE events SET attachments = attachments || $2::jsonb""",
        PNG, {"filename": "l.png", "content_type": "image/png", "size": 6, "digest": "00", "content_id": "logo"},
    )  # fmt: skip
    html = await visitor.client.get(f"/events/{event_id}/preview?view=html")
    assert f"data:image/png;base64,{base64.b64encode(PNG).decode()}" in html.text
    source = await visitor.client.get(f"/events/{event_id}/preview?view=source")
    assert all(name in source.text for name in ("a.pdf", "l.png", "multipart/mixed", "multipart/related"))
    assert (await visitor.client.get(f"/events/{event_id}/preview?view=text")).status_code == 200


def test_a_long_source_is_cut_and_a_short_one_is_not() -> None:
    head = b"Subject: x\r\n\r\n"
    assert read_letter(head + b"x" * MOST_SOURCE).source.endswith("x\n\n… and 14 bytes more")
    assert "more" not in read_letter(head).source


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'Content-Type: image/png"x; name=a\r\nContent-ID: <a>\r\n\r\nx',
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n"
        b"--x\r\nContent-Disposition: attachment; filename*=utf-8'x\r\n\r\n"
        b"--x\r\nContent-Type: multipart/mixed\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\ncid:a\r\n"
        b"--x\r\nContent-Type: image/\r\nContent-ID: <a\r\nContent-Disposition: ;;filename=\"\0\"\r\n\r\n=",
        b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nx",
    ],
)  # fmt: skip
def test_odd_files_are_shown_as_far_as_they_go(content: bytes) -> None:
    for place, file in enumerate(read_letter(content).files):
        assert re.fullmatch(r"[^\x00-\x1f/\\]+", file.filename)
        assert re.fullmatch(r"[a-z0-9.+-]+/[a-z0-9.+-]+", file.content_type)
        assert read_file(content, place) is not None
    read_html(content)


@pytest.mark.usefixtures("empty_gallery")
async def test_an_image_is_shown_where_the_html_names_its_file(visitor: Visitor, database: Database) -> None:
    page = await visitor.get("/add")
    assert 'by its file name: <img src="cid:dot.gif">.' in page.main.text
    files = (("dot.gif", b"GIF89a", "image/gif"), ("dot.gif", b"GIF", "image/gif"), ("other.gif", b"GIF", "image/gif"))
    await send(visitor, *files, email_html='<p><img src="cid:dot.gif"></p>')
    assert [one["content_id"] for one in await entries(database)] == ["dot.gif", None, None]
    assert not any("gap" in w for w in await database.pool.fetchval("SELECT warnings FROM events"))


@pytest.mark.usefixtures("empty_gallery")
async def test_html_that_shows_what_is_not_there_is_warned_of(visitor: Visitor, database: Database) -> None:
    await send(visitor, ("a.pdf", b"%PDF", "application/pdf"), email_html='<img src="cid:dot.gif"><a href="cid:a.pdf">')
    said = "The HTML shows cid:dot.gif, cid:a.pdf, but no attachment has that content_id: a gap is seen there."
    assert said in await database.pool.fetchval("SELECT warnings FROM events")


@pytest.mark.usefixtures("empty_gallery")
async def test_a_file_name_that_turns_its_ending_around_is_refused(visitor: Visitor) -> None:
    page = await send(visitor, ("a\u202etxt.exe", b"x", "text/plain"), status=400)
    assert any("turn the direction of its text" in problem for problem in problems(page))
