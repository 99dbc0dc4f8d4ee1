"""The SMTP table of the delivery rules, row by row, against a server that really answers so."""

import logging
from collections import defaultdict
from dataclasses import dataclass

import pytest

from janus_mail.providers.outcomes import (
    DeliveryError,
    MessageRejected,
    PolicyRejected,
    ProviderBroken,
    ProviderDown,
    RecipientDeferred,
    RecipientRejected,
    Throttled,
    Uncertain,
)
from janus_mail.providers.smtp_replies import ROWS, Row, Step, classify, classify_cut, enhanced_code, row_for

from .conftest import Connect, Hold, Serve, mail_to


@dataclass(frozen=True)
class Case:
    step: Step
    reply: str
    error: type[DeliveryError]
    scope: str | None = None
    final_on_repeat: bool = False
    known: bool = True

    def __str__(self) -> str:
        return f"{self.step.name} {self.reply[:32]}"


CASES = [
    # connect, TLS, EHLO: 421, 4xx
    Case(Step.CONNECT, "421 4.3.2 Not now", ProviderDown),
    Case(Step.CONNECT, "450 Busy", ProviderDown),
    Case(Step.EHLO, "421 4.3.2 Not now", ProviderDown),
    Case(Step.EHLO, "451 Not now", ProviderDown),
    Case(Step.STARTTLS, "454 4.7.0 TLS not available due to temporary reason", ProviderDown),
    # banner 554, 521; EHLO 5xx after HELO too; STARTTLS refused
    Case(Step.CONNECT, "554 No SMTP service here", ProviderBroken, "provider"),
    Case(Step.CONNECT, "521 This host does not accept mail", ProviderBroken, "provider"),
    Case(Step.EHLO, "550 5.7.1 Go away", ProviderBroken, "provider"),
    Case(Step.STARTTLS, "502 5.5.1 Not implemented", ProviderBroken, "provider"),
    # AUTH
    Case(Step.AUTH, "454 4.7.0 Temporary authentication failure", ProviderDown),
    Case(Step.AUTH, "432 4.7.12 A password transition is needed", ProviderDown),
    *(
        Case(Step.AUTH, f"{code} Authentication refused", ProviderBroken, "provider")
        for code in (530, 534, 535, 538, 500, 501, 504)
    ),
    Case(Step.AUTH, "535 5.7.8 Username and password not accepted", ProviderBroken, "provider"),
    Case(Step.AUTH, "534 5.7.9 Application-specific password required", ProviderBroken, "provider"),
    Case(Step.AUTH, "535 5.7.8 Too many connections per account", Throttled),
    Case(Step.AUTH, "535 5.7.0 Monthly messages limit reached", ProviderBroken, "provider"),
    # MAIL, RCPT: the sender
    Case(Step.MAIL, "550 5.1.7 Bad sender's address", ProviderBroken, "sender"),
    Case(Step.MAIL, "553 5.1.8 Sender domain not found", ProviderBroken, "sender"),
    Case(Step.RCPT, "550 5.1.8 Sender refused", ProviderBroken, "sender"),
    Case(Step.MAIL, "554 Message rejected: Email address is not verified", ProviderBroken, "sender"),
    Case(Step.RCPT, "553 5.7.1 <a@example.com>: Sender address rejected: not owned by user", ProviderBroken, "sender"),
    *(
        Case(step, "554 Message rejected: Email address is not verified.", ProviderBroken, "sender")
        for step in (Step.DATA, Step.DOT)
    ),
    *(
        Case(Step.MAIL, f"553 {enhanced} Sender domain is not verified", ProviderBroken, "sender")
        for enhanced in ("5.0.0", "5.1.0", "5.1.7", "5.1.8", "5.5.4")
    ),
    # MAIL, RCPT: the account
    Case(Step.MAIL, "550 5.4.5 Daily user sending limit exceeded", ProviderBroken, "provider"),
    Case(Step.RCPT, "552 5.4.5 Daily user sending limit exceeded", ProviderBroken, "provider"),
    *(
        Case(step, "550 5.4.5 Daily user sending limit exceeded", ProviderBroken, "provider")
        for step in (Step.DATA, Step.DOT)
    ),
    Case(Step.MAIL, "530 5.7.0 Authentication required", ProviderBroken, "provider"),
    Case(Step.RCPT, "530 Authentication required", ProviderBroken, "provider"),
    Case(Step.RCPT, "554 5.7.1 <b@example.net>: Relay access denied", ProviderBroken, "provider"),
    Case(Step.RCPT, "550 relay not permitted", ProviderBroken, "provider"),
    Case(Step.MAIL, "550 5.7.1 Relaying denied", ProviderBroken, "provider"),
    *(
        Case(Step.RCPT, f"550 5.7.1 {text}", ProviderBroken, "provider")
        for text in ("Relaying is prohibited", "We are unable to relay for you", "relaying not allowed")
    ),
    *(
        Case(step, reply, ProviderBroken, "provider")
        for step in (Step.MAIL, Step.RCPT, Step.DATA, Step.DOT)
        for reply in ("454 Throttling failure: Daily message quota exceeded.", "554 Monthly message limit reached")
    ),
    # any: this provider, not so fast
    *(
        Case(step, reply, Throttled)
        for step in (Step.MAIL, Step.RCPT, Step.DATA, Step.DOT)
        for reply in (
            "454 Throttling failure: Maximum sending rate exceeded.",
            "454 Sending rate exceeded",
            "550 5.7.0 Requested action not taken: too many emails per second",
        )
    ),
    # MAIL: 4xx
    Case(Step.MAIL, "451 4.7.1 Slow down", Throttled),
    Case(Step.MAIL, "450 4.3.2 Too busy", Throttled),
    Case(Step.MAIL, "452 Too many sessions", Throttled),
    Case(Step.MAIL, "451 Local error", ProviderDown),
    Case(Step.MAIL, "421 Closing", ProviderDown),
    # RCPT: later
    Case(Step.RCPT, "450 Mailbox busy", RecipientDeferred),
    Case(Step.RCPT, "451 Local error", RecipientDeferred),
    Case(Step.RCPT, "452 Too many recipients", RecipientDeferred),
    Case(Step.RCPT, "450 4.2.1 Mailbox is receiving mail at too high a rate", RecipientDeferred),
    Case(Step.RCPT, "451 4.7.1 Greylisted", RecipientDeferred),
    Case(Step.RCPT, "452 4.5.3 Too many recipients", RecipientDeferred),
    Case(Step.RCPT, "552 Too many recipients", RecipientDeferred),
    Case(Step.RCPT, "421 Closing", ProviderDown),
    # RCPT: never
    *(Case(Step.RCPT, f"{code} No", RecipientRejected) for code in (550, 551, 553, 556)),
    *(
        Case(Step.RCPT, f"554 {enhanced} No", RecipientRejected)
        for enhanced in ("5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.5", "5.1.6", "5.1.10", "5.2.1")
    ),
    # RCPT: mailbox full
    Case(Step.RCPT, "552 5.2.2 Mailbox full", RecipientDeferred, final_on_repeat=True),
    # policy; the sizes by RFC 1870, also at MAIL
    *(
        Case(step, reply, PolicyRejected)
        for step in (Step.MAIL, Step.RCPT, Step.DATA, Step.DOT)
        for reply in (
            "550 5.7.1 Blocked",
            "552 5.3.4 Too big",
            "552 5.2.3 Too big for them",
            "553 5.6.7 Needs SMTPUTF8",
        )
    ),
    Case(Step.DOT, "550 Looks like spam", PolicyRejected),
    Case(Step.DOT, "554 Refused", PolicyRejected),
    # DATA, dot: content
    Case(Step.DATA, "554 5.6.0 Media error", MessageRejected),
    Case(Step.DOT, "554 5.6.1 Media not supported", MessageRejected),
    # DATA: out of step
    *(Case(Step.DATA, f"{code} Bad sequence", ProviderDown) for code in (500, 501, 502, 503, 504)),
    # DATA, dot: 4xx
    Case(Step.DATA, "451 4.3.0 Local error", ProviderDown),
    Case(Step.DOT, "451 4.3.0 Local error", ProviderDown),
    Case(Step.DOT, "452 4.3.1 Out of space", ProviderDown),
    # the enhanced code wins
    Case(Step.RCPT, "550 4.7.1 Greylisted by a careless server", RecipientDeferred),
    # the default
    Case(Step.MAIL, "555 Parameters not recognized", PolicyRejected, known=False),
    Case(Step.RCPT, "554 No", PolicyRejected, known=False),
    Case(Step.RCPT, "454 4.4.9 What", ProviderDown, known=False),
    Case(Step.RCPT, "550 4.4.1 Temporary after all", ProviderDown, known=False),
    Case(Step.DATA, "554 No", PolicyRejected, known=False),
    Case(Step.DOT, "500 What", PolicyRejected, known=False),
]


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "lockstep"])
@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_reply_means_its_class(
    case: Case, pipelining: bool, serve: Serve, adapter_to: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    verb = {Step.CONNECT: "BANNER"}.get(case.step, str(case.step.name))
    offers = ["STARTTLS", "AUTH PLAIN", *(["PIPELINING"] if pipelining else [])]
    server = await serve(offers=offers, always={verb: case.reply, **({"HELO": case.reply} if verb == "EHLO" else {})})
    security = "starttls" if case.step is Step.STARTTLS else "none"
    adapter = adapter_to(server, security=security, username="me", password="secret")
    hold = Hold()

    with caplog.at_level(logging.WARNING), pytest.raises(DeliveryError) as raised:
        await adapter.send(mail_to("b@example.net"), hold)

    error = raised.value
    code, _, text = case.reply.partition(" ")
    assert type(error) is case.error
    assert getattr(error, "scope", None) == case.scope
    assert getattr(error, "final_on_repeat", False) is case.final_on_repeat
    assert error.code == f"{code} {enhanced_code(text)}".rstrip()
    assert error.response == text
    assert hold.dispatches == (case.step is Step.DOT)
    assert bool(caplog.records) is not case.known
    assert not server.mails


def test_every_row_of_the_table_has_a_case_for_each_step_and_code_that_it_names() -> None:
    decided: dict[Row | None, list[Case]] = defaultdict(list)
    for case in CASES:
        decided[row_for(case.step, int(case.reply[:3]), case.reply[4:])].append(case)

    missing: list[tuple[Row, Step | str]] = []
    for row in ROWS:
        cases = decided[row]
        missing += [(row, step) for step in row.steps if step not in {case.step for case in cases}]
        basic = {case.reply[:3] for case in cases}
        missing += [(row, code) for code in row.basic.split() if not _answered(code, basic)]
        enhanced = {enhanced_code(case.reply[4:]) or "none" for case in cases}
        missing += [(row, code) for code in row.enhanced.split() if not _answered(code, enhanced)]
    assert missing == []
    assert all(case.known for row, cases in decided.items() for case in cases if row is not None)
    assert not any(case.known for case in decided[None])


def _answered(listed: str, codes: set[str]) -> bool:
    return any(code == listed or (listed.endswith("x") and code.startswith(listed.rstrip("x"))) for code in codes)


@pytest.mark.parametrize("reply", ["251 User not local; will forward", "252 Cannot verify, but will take it"])
async def test_a_recipient_who_is_forwarded_or_unverified_is_accepted(
    reply: str, serve: Serve, adapter_to: Connect
) -> None:
    server = await serve(answers={"RCPT": [reply]})
    accepted = await adapter_to(server).send(mail_to(), Hold())
    assert accepted.code == "250 2.0.0"
    assert len(server.mails) == 1


def test_an_unknown_reply_is_logged_without_what_the_server_said(caplog: pytest.LogCaptureFixture) -> None:
    classify(Step.MAIL, 555, "5.5.4 <someone@example.com> what?")
    assert caplog.messages == ["SMTP reply without a row of its own: 555 5.5.4 at MAIL"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("5.1.1 No such user", "5.1.1"),
        ("No such user\n5.1.10 Null MX", "5.1.10"),
        ("#5.1.0 Address rejected", "5.1.0"),
        ("(4.7.1) later", "4.7.1"),
        ("Seen at 5.1.1 by 10.5.1.1", ""),
        ("5.1.1111 nonsense", ""),
        ("", ""),
    ],
)
def test_the_enhanced_code_is_read_where_it_opens_a_line(text: str, code: str) -> None:
    assert enhanced_code(text) == code


def test_a_cut_is_uncertain_only_once_the_dot_is_written() -> None:
    assert type(classify_cut(Step.DOT, "disconnected")) is Uncertain
    for step in Step:
        if step is not Step.DOT:
            assert type(classify_cut(step, "disconnected")) is ProviderDown
