"""What every adapter of a service over HTTP makes of a mail, each against its own service on loopback."""

from dataclasses import replace
from typing import Any

import pytest

from janus_mail.providers.contract import Accepted, Address, Attachment
from janus_mail.providers.limits import Asked
from janus_mail.providers.outcomes import PolicyRejected
from janus_mail.providers.registry import KINDS

from .bench import Bench
from .benches import ConnectHttp, ServeHttp, each, ended, refused
from .conftest import Hold, fields_to, mail_of

ID = "0190b0a1-0000-7000-8000-000000000001"
LOGO = Attachment("logo.png", "image/png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "logo@janus")
PAPER = Attachment("paper.pdf", "application/pdf", b"%PDF-1.7\n" + bytes(range(256)) * 20)


@each
async def test_a_mail_is_taken_once_under_an_id(bench: Bench, serve_http: ServeHttp, connect_http: ConnectHttp) -> None:
    server = await serve_http(bench)
    hold = Hold()
    accepted = await ended(connect_http(bench, server), hold=hold)
    assert isinstance(accepted, Accepted), accepted
    (taken,) = server.ledger
    assert accepted.provider_message_id == taken.id
    assert taken.janus_message_id == ID
    assert (hold.dispatches, hold.last_bytes, len(server.requests)) == (1, 1, 1)


@each
async def test_everything_that_was_asked_for_arrives(
    bench: Bench, serve_http: ServeHttp, connect_http: ConnectHttp
) -> None:
    server = await serve_http(bench)
    several = "several_reply_to" not in bench.lacks
    asked = fields_to(
        Address("b@example.net", "Bob"), Address("c@example.net"),
        cc=(Address("d@example.net", "Dora"),), bcc=(Address("e@example.net"),),
        reply_to=(Address("desk@example.com", "Desk"), *([Address("copy@example.com")] if several else [])),
        text="Plain words.", html='<p>Words. <img src="cid:logo@janus"></p>',
        headers={"X-Campaign": "summer"} if "custom_headers" not in bench.lacks else {},
        tags=("welcome", "spring"), metadata={"order": "4711"},
        attachments=(PAPER,) if "inline_files" in bench.lacks else (PAPER, LOGO),
    )  # fmt: skip
    assert isinstance(await ended(connect_http(bench, server), asked), Accepted)
    (taken,) = server.ledger
    assert (taken.sender, taken.subject) == (asked.sender, asked.subject)
    assert [a.email for a in taken.to] == [a.email for a in asked.to]
    assert [a.email for a in taken.cc] == [a.email for a in asked.cc]
    assert [a.email for a in taken.bcc] == [a.email for a in asked.bcc]
    if "names" not in bench.lacks:
        assert (taken.to[0].name, taken.cc[0].name) == ("Bob", "Dora")
    assert [a.email for a in taken.reply_to] == [a.email for a in asked.reply_to]
    assert ((taken.text or "").strip(), (taken.html or "").strip()) == (asked.text, asked.html)
    assert asked.headers.items() <= taken.headers.items()
    assert taken.tags == bench.tags
    assert taken.metadata["order"] == "4711"
    named = "inline_names" not in bench.lacks
    files = [f if named else replace(f, filename=f.content_id or f.filename) for f in asked.attachments]
    assert sorted(taken.attachments, key=str) == sorted(files, key=str)
    if "message_id" not in bench.lacks:
        assert taken.headers["Message-ID"] == "<1@example.com>"


@each
@pytest.mark.parametrize("parts", [("text",), ("html",), ("text", "html")], ids="+".join)
async def test_text_and_html_go_alone_or_together(
    bench: Bench, parts: tuple[str, ...], serve_http: ServeHttp, connect_http: ConnectHttp
) -> None:
    server = await serve_http(bench)
    said = {"text": "Hi.", "html": "<p>Hi.</p>"}
    asked = fields_to(**{part: said[part] if part in parts else None for part in said})
    assert isinstance(await ended(connect_http(bench, server), asked), Accepted)
    (taken,) = server.ledger
    given = {"text": taken.text, "html": taken.html}
    for part in parts:
        assert (given[part] or "").strip() == said[part]
    if not bench.lacks & {"text_only", "html_only"}:
        assert not any(given[part] for part in said if part not in parts)


@each
async def test_any_script_arrives_as_given(bench: Bench, serve_http: ServeHttp, connect_http: ConnectHttp) -> None:
    server = await serve_http(bench)
    words = "Grüße, 世界 🚀 مرحبا"
    filename = "paper.pdf" if "utf8_filenames" in bench.lacks else "Rechnung für März.pdf"
    asked = fields_to(
        Address("b@xn--bcher-kva.example", "Jörg «Ö» Müller"), sender=Address("a@example.com", "Änne 'A' O'Neil"),
        reply_to=(Address("desk@example.com", "Büro"),), subject=words, text=words, html=f"<p>{words}</p>",
        headers={} if bench.lacks & {"utf8_headers", "custom_headers"} else {"X-Greeting": words},
        metadata={"greeting": words}, attachments=(Attachment(filename, "application/pdf", PAPER.content),),
    )  # fmt: skip
    accepted = await ended(connect_http(bench, server), asked)
    assert isinstance(accepted, Accepted), accepted
    (taken,) = server.ledger
    assert (taken.subject, taken.sender) == (words, asked.sender)
    assert ((taken.text or "").strip(), (taken.html or "").strip()) == (words, asked.html)
    assert taken.to[0].email == asked.to[0].email
    assert asked.headers.items() <= taken.headers.items()
    assert [(a.filename, a.content) for a in taken.attachments] == [(filename, PAPER.content)]


@each
async def test_a_mail_of_ten_megabytes_arrives_or_is_refused_before_it_leaves(
    bench: Bench, serve_http: ServeHttp, connect_http: ConnectHttp
) -> None:
    server = await serve_http(bench)
    whole = bytes(range(256)) * 29_000  # 7.4 MB, and so 9.9 MB in base64
    accepted = await ended(
        connect_http(bench, server), fields_to(attachments=(Attachment("b.pdf", "application/pdf", whole),))
    )
    assert isinstance(accepted, Accepted), accepted
    assert server.ledger[0].attachments[0].content == whole


@each
async def test_what_is_too_large_for_the_service_does_not_leave(
    bench: Bench, serve_http: ServeHttp, connect_http: ConnectHttp
) -> None:
    most = KINDS[bench.kind].limits.octets
    assert most is not None
    server = await serve_http(bench)
    file = Attachment("b.pdf", "application/pdf", b"x" * most)
    error = await refused(connect_http(bench, server), fields_to(attachments=(file,)))
    assert (type(error), error.code) == (PolicyRejected, "too_large")
    assert not server.requests


@each
async def test_what_the_service_cannot_express_is_refused_before_it_is_asked(
    bench: Bench, serve_http: ServeHttp, connect_http: ConnectHttp
) -> None:
    server = await serve_http(bench)
    asked: dict[str, dict[str, Any]] = {
        "inline_files": {"attachments": (LOGO,), "html": '<img src="cid:logo@janus">'},
        "utf8_filenames": {"attachments": (Attachment("März.pdf", "application/pdf", b"1"),)},
        "utf8_headers": {"headers": {"X-Greeting": "Grüße"}},
        "several_reply_to": {"reply_to": (Address("x@example.com"), Address("y@example.com"))},
    }
    adapter = connect_http(bench, server)
    for lacking in bench.lacks & asked.keys():
        error = await refused(adapter, fields_to(**asked[lacking]))
        assert type(error) is PolicyRejected, lacking
    assert not server.requests


@each
async def test_who_has_a_groups_mail_already_gets_no_other(
    bench: Bench, serve_http: ServeHttp, connect_http: ConnectHttp
) -> None:
    server = await serve_http(bench)
    asked = fields_to("b@example.net", "c@example.net", cc=(Address("d@example.net"),), bcc=(Address("e@example.net"),))
    partly = mail_of(asked, recipients=("c@example.net", "e@example.net"))
    if bench.partial_groups:
        await connect_http(bench, server).send(partly, Hold())
        (taken,) = server.ledger
        assert [[a.email for a in role] for role in (taken.to, taken.cc, taken.bcc)] == [
            ["c@example.net"], [], ["e@example.net"],
        ]  # fmt: skip
    else:
        with pytest.raises(PolicyRejected):
            await connect_http(bench, server).send(partly, Hold())
        assert not server.requests


@each
async def test_equal_mails_give_equal_bytes(bench: Bench, serve_http: ServeHttp, connect_http: ConnectHttp) -> None:
    files = (PAPER,) if "inline_files" in bench.lacks else (PAPER, LOGO)
    asked = fields_to(html="<p>Hi</p>", attachments=files, tags=("welcome",), metadata={"order": "4711", "a": "b"})
    found = set()
    for _ in range(2):
        server = await serve_http(bench)
        assert isinstance(await ended(connect_http(bench, server), asked), Accepted)
        (request,) = server.requests
        found.add((request.method, request.path, request.headers["content-type"], request.body))
    assert len(found) == 1


@each
def test_what_a_caller_names_as_janus_does_is_told_to_stay_here(bench: Bench) -> None:
    left = KINDS[bench.kind].limits.left_behind(Asked(metadata={"janus_message_id": "mine", "order": "4711"}))
    assert left == ["the metadata janus_message_id"]
