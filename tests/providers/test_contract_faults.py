"""What every adapter makes of a service's answers other than the usual, of silence and of broken lines; and how it asks
whether its credentials are known."""

import asyncio
import importlib
import json
import logging
import socket
from typing import Any

import pytest

from janus_mail.providers.contract import Accepted
from janus_mail.providers.outcomes import DeliveryError, Outcome, ProviderBroken, ProviderDown, Throttled, Uncertain
from janus_mail.providers.registry import KINDS

from .bench import Bench, Case
from .benches import BENCHES, ConnectHttp, ServeHttp, each, ended, refused
from .conftest import Hold, fields_to, mail_of
from .fake_http import Act, Early, Held, Raw, Refusal, Reply

CASES = [pytest.param(bench, case, id=f"{bench.kind}: {case.said}") for bench in BENCHES for case in bench.cases]


@pytest.mark.parametrize(("bench", "case"), CASES)
async def test_what_the_service_answers_means_this(
    bench: Bench, case: Case, serve_http: ServeHttp, connect_http: ConnectHttp
) -> None:
    server = await serve_http(bench, case.reply)
    hold = Hold()
    error = await refused(connect_http(bench, server), hold=hold)
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
def test_when_it_takes_requests_again_has_a_case_where_the_service_says_it_in_its_own_way(bench: Bench) -> None:
    service = getattr(importlib.import_module(f"janus_mail.providers.{bench.kind}"), "SERVICE", None)
    if service is not None and service.reset_header:
        told = [
            case.retry_after_s for case in bench.cases if service.reset_header in map(str.lower, case.reply.headers)
        ]
        assert any(told)


@each
async def test_throttled_with_retry_after_says_how_long(
    bench: Bench, serve_http: ServeHttp, connect_http: ConnectHttp
) -> None:
    throttled = next(case.reply for case in bench.cases if case.outcome is Outcome.THROTTLED)
    told = Reply(throttled.status, throttled.body, {**throttled.headers, "Retry-After": "7"})
    server = await serve_http(bench, told)
    error = await refused(connect_http(bench, server))
    assert (type(error), error.retry_after_s) == (Throttled, 7.0)


@each
async def test_a_slow_answer_is_waited_for(bench: Bench, serve_http: ServeHttp, connect_http: ConnectHttp) -> None:
    answer = asyncio.Event()
    server = await serve_http(bench, Held(answer))
    sending = asyncio.create_task(ended(connect_http(bench, server)))
    await server.until(lambda: len(server.requests) == 1)
    assert not sending.done()
    answer.set()
    assert isinstance(await sending, Accepted)


CUTS = [Act.CUT_BEFORE_BODY, Act.CUT_IN_BODY, Act.CUT_UNTAKEN, Act.CUT_TAKEN, Act.RESET_TAKEN, Act.CUT_IN_ANSWER]


@each
@pytest.mark.parametrize("act", CUTS, ids=lambda act: act.name)
async def test_a_line_that_is_cut_leaves_us_uncertain_unless_the_key_tells(
    bench: Bench, act: Act, serve_http: ServeHttp, connect_http: ConnectHttp
) -> None:
    server = await serve_http(bench, act)
    hold = Hold()
    found = await ended(connect_http(bench, server), hold=hold)
    assert hold.dispatches == 1
    if bench.idempotent:  # asked again under the same key, and the mail is there once
        assert isinstance(found, Accepted), found
        assert len({request.headers.get("idempotency-key") for request in server.requests if request.body}) <= 1
        assert len({taken.id for taken in server.ledger}) == 1
    else:
        assert type(found) is Uncertain
        assert len(server.requests) == 1


@each
async def test_silence_leaves_us_uncertain(bench: Bench, serve_http: ServeHttp, connect_http: ConnectHttp) -> None:
    server = await serve_http(bench, *[Act.HANG] * 5)
    error = await refused(connect_http(bench, server, read_s=0.3))
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
    bench: Bench, step: Any, serve_http: ServeHttp, connect_http: ConnectHttp
) -> None:
    server = await serve_http(bench, *[step] * 5)
    assert type(await refused(connect_http(bench, server))) is Uncertain


@each
async def test_an_odd_success_is_none(bench: Bench, serve_http: ServeHttp, connect_http: ConnectHttp) -> None:
    for reply in bench.odd_successes:
        server = await serve_http(bench, *[reply] * 5)
        assert isinstance(await ended(connect_http(bench, server)), DeliveryError), reply


@each
async def test_a_closed_port_means_that_the_provider_is_down(bench: Bench, connect_http: ConnectHttp) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        hold = Hold()
        error = await refused(connect_http(bench, f"http://127.0.0.1:{taken.getsockname()[1]}"), hold=hold)
    assert (type(error), hold.dispatches) == (ProviderDown, 0)


@each
async def test_a_refusal_before_the_body_is_read_is_understood(
    bench: Bench, serve_http: ServeHttp, connect_http: ConnectHttp
) -> None:
    broken = next(case for case in bench.cases if case.outcome is Outcome.PROVIDER_BROKEN and not case.reply.headers)
    server = await serve_http(bench, *[Early(Refusal(broken.reply.status, broken.reply.body))] * 5)
    error = await refused(connect_http(bench, server), fields_to(text="x" * 4_000_000))
    assert error.outcome in (Outcome.PROVIDER_BROKEN, Outcome.UNCERTAIN)


@each
async def test_a_lease_that_is_lost_lets_nothing_leave(
    bench: Bench, serve_http: ServeHttp, connect_http: ConnectHttp
) -> None:
    server = await serve_http(bench)
    for hold in (Hold(refuse_dispatch=LookupError()), Hold(refuse_last_byte=LookupError())):
        with pytest.raises(LookupError):
            await connect_http(bench, server).send(mail_of(fields_to()), hold)
    await server.until(lambda: server.open_now == 0)
    assert not server.ledger


@each
async def test_good_credentials_are_known_and_others_are_not(
    bench: Bench, serve_http: ServeHttp, connect_http: ConnectHttp
) -> None:
    server = await serve_http(bench)
    verified = await connect_http(bench, server).verify()
    assert (verified is not None) == bench.checks_credentials
    strange = connect_http(bench, server, **bench.strange_config)
    if bench.checks_credentials:
        with pytest.raises(ProviderBroken):
            await strange.verify()
        portal = await serve_http(bench, *[Reply(200, b"<html>Sign in to the hotel's network</html>")] * 5)
        with pytest.raises(ProviderDown):
            await connect_http(bench, portal).verify()
        for body in (b"[]", b'{"errors":["x"]}'):
            with pytest.raises(DeliveryError):
                await connect_http(bench, await serve_http(bench, Reply(200, body))).verify()
    error = await refused(strange)
    assert type(error) is ProviderBroken, error
    assert not server.ledger


@each
async def test_a_secret_shows_nowhere(
    bench: Bench, serve_http: ServeHttp, connect_http: ConnectHttp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = await serve_http(bench)
    strange = connect_http(bench, server, **bench.strange_config)
    error = await refused(strange)
    shown = f"{error!r} {error.response} {strange!r} {vars(strange)!r} {caplog.text}"
    model = KINDS[bench.kind].config_model
    shown += repr(model.model_validate({**bench.config, **bench.strange_config}))
    schema = json.dumps(model.model_json_schema())
    for name, value in bench.strange_config.items():
        assert str(value) not in shown, name
        assert name in schema
