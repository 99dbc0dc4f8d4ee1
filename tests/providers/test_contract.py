"""What every adapter of a service over HTTP keeps, each against its own service on loopback."""

import asyncio
import importlib
import json
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from janus_mail.providers.contract import Accepted, Adapter, Address, Attachment, Fields
from janus_mail.providers.outcomes import (
    DeliveryError,
    Outcome,
    PolicyRejected,
    ProviderBroken,
    ProviderDown,
    Throttled,
    Uncertain,
)
from janus_mail.providers.registry import KINDS, adapter_for
from janus_mail.providers.timeouts import Timeouts

from .bench import Bench, Case
from .conftest import SHORT_HTTP, Hold, fields_to, mail_of
from .fake_http import Act, Early, FakeHttp, Held, Raw, Refusal, Reply

ID = "0190b0a1-0000-7000-8000-000000000001"
LOGO = Attachment("logo.png", "image/png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "logo@janus")
PAPER = Attachment("paper.pdf", "application/pdf", b"%PDF-1.7\n" + bytes(range(256)) * 20)


def _bench(kind: str) -> Bench:
    bench: Bench = importlib.import_module(f"tests.providers.fake_{kind}").BENCH
    return bench


BENCHES = [_bench(kind) for kind in KINDS if kind != "smtp"]
each = pytest.mark.parametrize("bench", BENCHES, ids=lambda bench: bench.kind)

Serve = Callable[..., Awaitable[FakeHttp]]
Connect = Callable[..., Adapter]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    servers: list[FakeHttp] = []

    async def start(bench: Bench, *steps: Any) -> FakeHttp:
        server = bench.fake()
        server.script(*steps)
        servers.append(await server.start())
        return server

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    adapters: list[Adapter] = []

    def to(bench: Bench, server: FakeHttp | str, *, read_s: float = 3.0, **config: object) -> Adapter:
        url = server if isinstance(server, str) else server.url
        http = replace(SHORT_HTTP, read_s=read_s)
        given = {**bench.config, "endpoint": url, **config}
        adapters.append(adapter_for(bench.kind, given, timeouts=Timeouts(http=http)))
        return adapters[-1]

    yield to
    for adapter in adapters:
        await adapter.close()


async def ended(adapter: Adapter, fields: Fields | None = None, hold: Hold | None = None) -> Accepted | DeliveryError:
    try:
        return await adapter.send(mail_of(fields or fields_to()), hold or Hold())
    except DeliveryError as error:
        return error


async def refused(adapter: Adapter, fields: Fields | None = None, hold: Hold | None = None) -> DeliveryError:
    error = await ended(adapter, fields, hold)
    assert isinstance(error, DeliveryError), error
    return error


@each
async def test_a_mail_is_taken_once_under_an_id(bench: Bench, serve: Serve, connect: Connect) -> None:
    server = await serve(bench)
    hold = Hold()
    accepted = await ended(connect(bench, server), hold=hold)
    assert isinstance(accepted, Accepted), accepted
    (taken,) = server.ledger
    assert accepted.provider_message_id == taken.id
    assert taken.janus_message_id == ID
    assert (hold.dispatches, hold.last_bytes, len(server.requests)) == (1, 1, 1)


@each
async def test_everything_that_was_asked_for_arrives(bench: Bench, serve: Serve, connect: Connect) -> None:
    server = await serve(bench)
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
    assert isinstance(await ended(connect(bench, server), asked), Accepted)
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
    bench: Bench, parts: tuple[str, ...], serve: Serve, connect: Connect
) -> None:
    server = await serve(bench)
    said = {"text": "Hi.", "html": "<p>Hi.</p>"}
    asked = fields_to(**{part: said[part] if part in parts else None for part in said})
    assert isinstance(await ended(connect(bench, server), asked), Accepted)
    (taken,) = server.ledger
    given = {"text": taken.text, "html": taken.html}
    for part in parts:
        assert (given[part] or "").strip() == said[part]
    if not bench.lacks & {"text_only", "html_only"}:
        assert not any(given[part] for part in said if part not in parts)


@each
async def test_any_script_arrives_as_given(bench: Bench, serve: Serve, connect: Connect) -> None:
    server = await serve(bench)
    words = "Grüße, 世界 🚀 مرحبا"
    filename = "paper.pdf" if "utf8_filenames" in bench.lacks else "Rechnung für März.pdf"
    asked = fields_to(
        Address("b@xn--bcher-kva.example", "Jörg «Ö» Müller"), sender=Address("a@example.com", "Änne 'A' O'Neil"),
        reply_to=(Address("desk@example.com", "Büro"),), subject=words, text=words, html=f"<p>{words}</p>",
        headers={} if bench.lacks & {"utf8_headers", "custom_headers"} else {"X-Greeting": words},
        metadata={"greeting": words}, attachments=(Attachment(filename, "application/pdf", PAPER.content),),
    )  # fmt: skip
    accepted = await ended(connect(bench, server), asked)
    assert isinstance(accepted, Accepted), accepted
    (taken,) = server.ledger
    assert (taken.subject, taken.sender) == (words, asked.sender)
    assert ((taken.text or "").strip(), (taken.html or "").strip()) == (words, asked.html)
    assert taken.to[0].email == asked.to[0].email
    assert asked.headers.items() <= taken.headers.items()
    assert [(a.filename, a.content) for a in taken.attachments] == [(filename, PAPER.content)]


@each
async def test_a_mail_of_ten_megabytes_arrives_or_is_refused_before_it_leaves(
    bench: Bench, serve: Serve, connect: Connect
) -> None:
    server = await serve(bench)
    whole = bytes(range(256)) * 29_000  # 7.4 MB, and so 9.9 MB in base64
    accepted = await ended(
        connect(bench, server), fields_to(attachments=(Attachment("b.pdf", "application/pdf", whole),))
    )
    assert isinstance(accepted, Accepted), accepted
    assert server.ledger[0].attachments[0].content == whole


@each
async def test_what_is_too_large_for_the_service_does_not_leave(bench: Bench, serve: Serve, connect: Connect) -> None:
    most = KINDS[bench.kind].limits.octets
    assert most is not None
    server = await serve(bench)
    file = Attachment("b.pdf", "application/pdf", b"x" * most)
    error = await refused(connect(bench, server), fields_to(attachments=(file,)))
    assert (type(error), error.code) == (PolicyRejected, "too_large")
    assert not server.requests


@each
async def test_what_the_service_cannot_express_is_refused_before_it_is_asked(
    bench: Bench, serve: Serve, connect: Connect
) -> None:
    server = await serve(bench)
    asked: dict[str, dict[str, Any]] = {
        "inline_files": {"attachments": (LOGO,), "html": '<img src="cid:logo@janus">'},
        "utf8_filenames": {"attachments": (Attachment("März.pdf", "application/pdf", b"1"),)},
        "utf8_headers": {"headers": {"X-Greeting": "Grüße"}},
        "several_reply_to": {"reply_to": (Address("x@example.com"), Address("y@example.com"))},
    }
    adapter = connect(bench, server)
    for lacking in bench.lacks & asked.keys():
        error = await refused(adapter, fields_to(**asked[lacking]))
        assert type(error) is PolicyRejected, lacking
    assert not server.requests


@each
async def test_who_has_a_groups_mail_already_gets_no_other(bench: Bench, serve: Serve, connect: Connect) -> None:
    server = await serve(bench)
    asked = fields_to("b@example.net", "c@example.net", cc=(Address("d@example.net"),), bcc=(Address("e@example.net"),))
    partly = mail_of(asked, recipients=("c@example.net", "e@example.net"))
    if bench.partial_groups:
        await connect(bench, server).send(partly, Hold())
        (taken,) = server.ledger
        assert [[a.email for a in role] for role in (taken.to, taken.cc, taken.bcc)] == [
            ["c@example.net"], [], ["e@example.net"],
        ]  # fmt: skip
    else:
        with pytest.raises(PolicyRejected):
            await connect(bench, server).send(partly, Hold())
        assert not server.requests


CASES = [pytest.param(bench, case, id=f"{bench.kind}: {case.said}") for bench in BENCHES for case in bench.cases]


@pytest.mark.parametrize(("bench", "case"), CASES)
async def test_what_the_service_answers_means_this(bench: Bench, case: Case, serve: Serve, connect: Connect) -> None:
    server = await serve(bench, case.reply)
    hold = Hold()
    error = await refused(connect(bench, server), hold=hold)
    assert error.outcome is case.outcome, (error.code, error.response)
    if case.scope is not None:
        assert isinstance(error, ProviderBroken)
        assert error.scope == case.scope
    if case.retry_after_s is not None:
        assert error.retry_after_s == pytest.approx(case.retry_after_s, abs=2)
    assert error.code
    assert hold.dispatches == 1
    if case.outcome is not Outcome.UNCERTAIN:
        assert len(server.requests) == 1  # and no hidden retry


@each
def test_each_class_of_error_has_a_case(bench: Bench) -> None:
    outcomes = {case.outcome for case in bench.cases}
    assert outcomes >= {Outcome.THROTTLED, Outcome.PROVIDER_BROKEN, Outcome.MESSAGE_REJECTED, Outcome.PROVIDER_DOWN}
    assert len(bench.cases) >= 8


@each
async def test_throttled_with_retry_after_says_how_long(bench: Bench, serve: Serve, connect: Connect) -> None:
    throttled = next(case.reply for case in bench.cases if case.outcome is Outcome.THROTTLED)
    told = Reply(throttled.status, throttled.body, {**throttled.headers, "Retry-After": "7"})
    server = await serve(bench, told)
    error = await refused(connect(bench, server))
    assert (type(error), error.retry_after_s) == (Throttled, 7.0)


@each
async def test_a_slow_answer_is_waited_for(bench: Bench, serve: Serve, connect: Connect) -> None:
    answer = asyncio.Event()
    server = await serve(bench, Held(answer))
    sending = asyncio.create_task(ended(connect(bench, server)))
    await server.until(lambda: len(server.requests) == 1)
    assert not sending.done()
    answer.set()
    assert isinstance(await sending, Accepted)


CUTS = [Act.CUT_BEFORE_BODY, Act.CUT_IN_BODY, Act.CUT_UNTAKEN, Act.CUT_TAKEN, Act.RESET_TAKEN, Act.CUT_IN_ANSWER]


@each
@pytest.mark.parametrize("act", CUTS, ids=lambda act: act.name)
async def test_a_line_that_is_cut_leaves_us_uncertain_unless_the_key_tells(
    bench: Bench, act: Act, serve: Serve, connect: Connect
) -> None:
    server = await serve(bench, act)
    hold = Hold()
    found = await ended(connect(bench, server), hold=hold)
    assert hold.dispatches == 1
    if bench.idempotent:  # asked again under the same key, and the mail is there once
        assert isinstance(found, Accepted), found
        assert len({request.headers.get("idempotency-key") for request in server.requests if request.body}) <= 1
        assert len({taken.id for taken in server.ledger}) == 1
    else:
        assert type(found) is Uncertain
        assert len(server.requests) == 1


@each
async def test_silence_leaves_us_uncertain(bench: Bench, serve: Serve, connect: Connect) -> None:
    server = await serve(bench, *[Act.HANG] * 5)
    error = await refused(connect(bench, server, read_s=0.3))
    assert (type(error), error.code) == (Uncertain, "timeout")


@each
@pytest.mark.parametrize(
    "step",
    [
        Raw(b"what?\r\n\r\n"),
        Reply(200, b"<html>Sign in to the hotel's network</html>", {"Content-Type": "text/html"}),
        Reply(200, b"{"),
        Reply(200, b"null"),
        Reply(204),
        Reply(502, b"<html>Bad gateway</html>", {"Content-Type": "text/html"}),
        Reply(503, b""),
        Reply(500, b"<html>Oops</html>"),
        Reply(504, b""),
        Reply(408, b""),
    ],
    ids=str,
)
async def test_an_answer_that_is_not_the_services_leaves_us_uncertain(
    bench: Bench, step: Any, serve: Serve, connect: Connect
) -> None:
    server = await serve(bench, *[step] * 5)
    assert type(await refused(connect(bench, server))) is Uncertain


@each
async def test_an_odd_success_is_none(bench: Bench, serve: Serve, connect: Connect) -> None:
    for reply in bench.odd_successes:
        server = await serve(bench, *[reply] * 5)
        assert isinstance(await ended(connect(bench, server)), DeliveryError), reply


@each
async def test_a_closed_port_means_that_the_provider_is_down(bench: Bench, connect: Connect) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        hold = Hold()
        error = await refused(connect(bench, f"http://127.0.0.1:{taken.getsockname()[1]}"), hold=hold)
    assert (type(error), hold.dispatches) == (ProviderDown, 0)


@each
async def test_a_refusal_before_the_body_is_read_is_understood(bench: Bench, serve: Serve, connect: Connect) -> None:
    broken = next(case for case in bench.cases if case.outcome is Outcome.PROVIDER_BROKEN and not case.reply.headers)
    server = await serve(bench, *[Early(Refusal(broken.reply.status, broken.reply.body))] * 5)
    error = await refused(connect(bench, server), fields_to(text="x" * 4_000_000))
    assert error.outcome in (Outcome.PROVIDER_BROKEN, Outcome.UNCERTAIN)


@each
async def test_a_lease_that_is_lost_lets_nothing_leave(bench: Bench, serve: Serve, connect: Connect) -> None:
    server = await serve(bench)
    for hold in (Hold(refuse_dispatch=LookupError()), Hold(refuse_last_byte=LookupError())):
        with pytest.raises(LookupError):
            await connect(bench, server).send(mail_of(fields_to()), hold)
    await server.until(lambda: server.open_now == 0)
    assert not server.ledger


@each
async def test_good_credentials_are_known_and_others_are_not(bench: Bench, serve: Serve, connect: Connect) -> None:
    server = await serve(bench)
    verified = await connect(bench, server).verify()
    assert (verified is not None) == bench.checks_credentials
    strange = connect(bench, server, **bench.strange_config)
    if bench.checks_credentials:
        with pytest.raises(ProviderBroken):
            await strange.verify()
        portal = await serve(bench, *[Reply(200, b"<html>Sign in to the hotel's network</html>")] * 5)
        with pytest.raises(ProviderDown):
            await connect(bench, portal).verify()
    error = await refused(strange)
    assert type(error) is ProviderBroken, error
    assert not server.ledger


@each
async def test_a_secret_shows_nowhere(
    bench: Bench, serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = await serve(bench)
    strange = connect(bench, server, **bench.strange_config)
    error = await refused(strange)
    shown = f"{error!r} {error.response} {strange!r} {vars(strange)!r} {caplog.text}"
    model = KINDS[bench.kind].config_model
    shown += repr(model.model_validate({**bench.config, **bench.strange_config}))
    schema = json.dumps(model.model_json_schema())
    for name, value in bench.strange_config.items():
        assert str(value) not in shown, name
        assert name in schema
