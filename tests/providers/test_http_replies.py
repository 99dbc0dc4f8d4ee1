"""The HTTP table of the delivery rules and SendGrid's own, row by row, against a server that really answers so."""

import logging
from dataclasses import dataclass, field
from email.utils import formatdate

import pytest

from janus_mail.providers.http_replies import ROWS, Answer, classify, retry_after_s, row_for
from janus_mail.providers.outcomes import (
    DeliveryError,
    MessageRejected,
    ProviderBroken,
    ProviderDown,
    RecipientRejected,
    Throttled,
    Uncertain,
)
from janus_mail.providers.sendgrid import ROWS as SENDGRID_ROWS
from janus_mail.providers.sendgrid import problems

from . import sendgrid_rules
from .conftest import Hold, ServeSendGrid, ToSendGrid, fields_to, mail_of
from .fake_http import Reply
from .sendgrid_rules import Refusal, errors


@dataclass(frozen=True)
class Case:
    status: int
    error: type[DeliveryError]
    body: bytes = b""
    scope: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None
    known: bool = True

    def __str__(self) -> str:
        return f"{self.status} {self.body[:50].decode()}".rstrip()


def said(refusal: Refusal, error: type[DeliveryError], scope: str | None = None) -> Case:
    return Case(refusal.status, error, refusal.body, scope)


def about(field_: str | None, message: str = "Does not contain a valid address.") -> bytes:
    return errors(400, (message, field_)).body


CASES = [
    # SendGrid's own rows
    *(
        Case(400, RecipientRejected, about(f"personalizations.0.{place}.email"))
        for place in ("to.0", "to.17", "cc.0", "bcc.2")
    ),
    Case(400, RecipientRejected, errors(400, ("Empty.", "subject"), ("Bad.", "personalizations.0.to.1.email")).body),
    said(sendgrid_rules.SENDER_UNVERIFIED, ProviderBroken, "sender"),
    said(sendgrid_rules.FORBIDDEN, ProviderBroken, "provider"),
    said(errors(403, ("You have made too many bad requests", None)), ProviderBroken, "provider"),
    said(errors(406, ("Not Acceptable", None)), ProviderBroken, "provider"),
    # credentials, quota, suspended
    said(sendgrid_rules.GRANT_INVALID, ProviderBroken, "provider"),
    said(sendgrid_rules.OUT_OF_CREDITS, ProviderBroken, "provider"),
    Case(402, ProviderBroken, scope="provider"),
    Case(403, ProviderBroken, b"<html>Blocked</html>", "provider"),
    # a wrong address or set-up
    *(Case(status, ProviderBroken, scope="provider") for status in (301, 302, 304, 307, 308, 404, 405, 415)),
    # throttled
    said(sendgrid_rules.TOO_MANY, Throttled),
    Case(429, Throttled, headers={"Retry-After": "120"}, retry_after_s=120),
    Case(
        429,
        Throttled,
        headers={"Date": "Wed, 19 Feb 2014 15:34:03 GMT", "X-RateLimit-Reset": "1392824063"},
        retry_after_s=20,
    ),
    # the content
    Case(400, MessageRejected, about("content.0.value", "The content value must be a string.")),
    Case(400, MessageRejected, about("from.email")),
    Case(400, MessageRejected, about("reply_to.email")),
    Case(400, MessageRejected, about("personalizations.0.to", "The to array is required.")),
    Case(400, MessageRejected, about(None, "Bad Request")),
    Case(400, MessageRejected, b"<html>Bad Request</html>"),
    said(sendgrid_rules.TOO_LARGE, MessageRejected),
    Case(422, MessageRejected),
    # down
    said(sendgrid_rules.BROKEN, ProviderDown),
    said(sendgrid_rules.UNAVAILABLE, ProviderDown),
    Case(503, ProviderDown, sendgrid_rules.UNAVAILABLE.body, headers={"Retry-After": "7"}, retry_after_s=7),
    # who knows
    Case(500, Uncertain, b"<html>Internal Server Error</html>"),
    Case(503, Uncertain),
    Case(503, Uncertain, b'{"message": "upstream connect error"}', headers={"Retry-After": "7"}),
    *(Case(status, Uncertain, sendgrid_rules.BROKEN.body) for status in (502, 504, 501, 520)),
    Case(408, Uncertain),
    Case(409, Uncertain),
    # 2xx of another shape
    Case(200, Uncertain, b"<html>Please sign in to the hotel's network</html>"),
    Case(201, Uncertain),
    Case(202, Uncertain),  # without an id
    Case(202, Uncertain, headers={"X-Message-Id": ""}),
    Case(204, Uncertain),
    # the default
    Case(418, MessageRejected, known=False),
    Case(421, MessageRejected, known=False),
    Case(451, MessageRejected, errors(451, ("Not here.", None)).body, known=False),
    Case(600, Uncertain, known=False),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_an_answer_means_its_class(
    case: Case, serve_sendgrid: ServeSendGrid, sendgrid_to: ToSendGrid, caplog: pytest.LogCaptureFixture
) -> None:
    server = await serve_sendgrid(Reply(case.status, case.body, case.headers))
    hold = Hold()

    with caplog.at_level(logging.WARNING), pytest.raises(DeliveryError) as raised:
        await sendgrid_to(server).send(mail_of(fields_to()), hold)

    error = raised.value
    assert type(error) is case.error
    assert getattr(error, "scope", None) == case.scope
    assert error.code == str(case.status)
    assert error.response == case.body.decode()
    assert error.retry_after_s == case.retry_after_s
    assert (hold.dispatches, hold.last_bytes) == (1, 1)
    assert len(server.requests) == 1  # no redirect followed, nothing tried again
    assert bool(caplog.records) is not case.known


def test_every_row_of_both_tables_has_a_case() -> None:
    decided_by = [row_for(case.status, problems(Answer(case.status, {}, case.body)), SENDGRID_ROWS) for case in CASES]
    assert [row for row in (*SENDGRID_ROWS, *ROWS) if row not in decided_by] == []
    assert [str(case) for case, row in zip(CASES, decided_by, strict=True) if (row is None) is case.known] == []


@pytest.mark.parametrize(
    "body", [b"", b"nothing", b"[]", b'"x"', b'{"errors": null}', b'{"errors": 3}', b'{"errors": ["x"]}', b"\xff\xfe"]
)
def test_a_body_that_is_not_sendgrids_own_says_nothing(body: bytes) -> None:
    assert problems(Answer(500, {}, body)) == []


def test_an_unknown_answer_is_logged_without_what_the_service_said(caplog: pytest.LogCaptureFixture) -> None:
    classify(Answer(418, {}, b"I will not write to someone@example.com"))
    assert caplog.messages == ["HTTP answer without a row of its own: 418"]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "0"}, 0),
        ({"retry-after": " 30 "}, 30),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 30),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT", "date": "Wed, 21 Oct 2015 07:28:30 GMT"}, 0),
        ({"x-reset": "1445412490", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 10),
        ({"x-reset": "1445412490", "retry-after": "5", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 5),
        ({"x-reset": "1445412490", "retry-after": "soon", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 10),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "²"}, None),
        ({"x-reset": "inf"}, None),
        ({"x-reset": "tomorrow"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait_is_read_from_the_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, "x-reset") == seconds


def test_without_the_servers_clock_ours_is_used() -> None:
    assert retry_after_s({"retry-after": formatdate(usegmt=True)}) == 0
    assert (retry_after_s({"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}) or 0) > 3600
