"""What is accepted can be sent: whatever a caller may write, it is refused now or composed later."""

import uuid
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from janus_mail.content.addresses import Mailbox
from janus_mail.content.compose import Content, Letter
from janus_mail.errors import InvalidInput
from janus_mail.events.rows import NewEvent
from janus_mail.events.schemas import EventCreate
from janus_mail.events.understand import Facts, KnownProvider, understand

NOW = datetime(2026, 11, 21, 13, 30, tzinfo=UTC)
FACTS = Facts(NOW, ZoneInfo("UTC"), "janus@example.com", None, "resend", [])


def provider(kind: str, *, enabled: bool = True, sandbox: bool = False) -> KnownProvider:
    return KnownProvider(uuid.uuid4(), kind, kind, enabled, sandbox, None)


def test_no_event_shares_what_it_was_not_given_with_another() -> None:
    given = {"email_subject": "Hi", "email_content": "Hi", "expected_sent_at": "now", "recipients": "a@example.com"}
    first, second = EventCreate.model_validate(given), EventCreate.model_validate(given)
    first.headers["X-Of"], first.metadata["of"] = "first", "first"
    first.tags.append("first")
    assert (second.headers, second.metadata, second.tags) == ({}, {}, [])


def of_group(size: int, *providers: KnownProvider, **changes: Any) -> NewEvent:
    event = EventCreate.model_validate(
        {"email_subject": "Hi", "email_content": "Hi", "expected_sent_at": "now", "send_as": "group",
         "recipients": [f"r{n}@example.com" for n in range(size)], **changes}
    )  # fmt: skip
    facts = Facts(NOW, ZoneInfo("UTC"), "janus@example.com", None, "resend", list(providers))
    return understand(event, facts, workspace_id=uuid.uuid4(), created_by="a test")


def test_a_group_that_a_provider_of_its_route_cannot_take_at_once_is_refused() -> None:
    with pytest.raises(InvalidInput, match="resend takes at most 50 recipients") as refused:
        of_group(51, provider("sendgrid"), provider("resend"))
    assert refused.value.code == "too_many_recipients"
    of_group(50, provider("sendgrid"), provider("resend"))
    of_group(51, provider("sendgrid"), provider("resend", enabled=False), provider("postmark", sandbox=True))
    of_group(51, provider("sendgrid"), provider("resend"), provider="sendgrid", failover=False)


def mostly(fit: st.SearchStrategy[str], odd: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """One in twelve is odd: with more hardly an event would be accepted."""
    return st.integers(1, 12).flatmap(lambda number: odd if number == 7 else fit)


FIT = st.text(st.characters(categories=["Lu", "Ll", "Nd", "Po", "Sc", "So"]), min_size=1, max_size=30)
ODD = st.text(st.characters(categories=["Lu", "Zs", "Cc", "Cs", "Zl", "Po"]), max_size=30)
PHRASES = st.sampled_from(
    ["Hello {{name}}", "{{plan}}", "{{ email }}", "{{", "a\r\nb", "x\0", "=?utf-8?q?x?=", "From x", ".", "  "]
)
WORDS = mostly(FIT, PHRASES | ODD)
GOOD_ADDRESSES = st.sampled_from(
    [
        "a@example.com",
        "Ann <ann@example.com>",
        '"Lee, Ann" <lee@example.com>',
        "jörg@example.com",
        "x@bücher.example",
        '"quoted local"@example.com',
        "root@localhost",
        "a@example.com, b@example.com",
    ]
)
ADDRESSES = mostly(GOOD_ADDRESSES, st.sampled_from(["no", "Eve\r\nBcc: x <e@example.com>"]))
RECIPIENTS = ADDRESSES | st.lists(
    ADDRESSES
    | st.fixed_dictionaries(
        {"email": ADDRESSES},
        optional={"name": WORDS, "variables": st.dictionaries(st.sampled_from(["plan", "name"]), WORDS, max_size=2)},
    ),
    min_size=1,
    max_size=3,
)
EVENTS = st.fixed_dictionaries(
    {"email_subject": WORDS, "email_content": WORDS, "expected_sent_at": st.just("now"), "recipients": RECIPIENTS},
    optional={
        "email_html": WORDS,
        "reply_to": RECIPIENTS,
        "from_email": ADDRESSES,
        "from_name": WORDS,
        "headers": st.dictionaries(st.sampled_from(["X-A", "X-B", "X-C", "x-a"]), WORDS, max_size=2),
    },
)
GROUPS = st.fixed_dictionaries({"send_as": st.just("group"), "cc": RECIPIENTS})


def compose_all(new: NewEvent) -> None:
    """Every message, as delivery does it."""
    row = new.row
    sender = Mailbox(row.from_email or "janus@example.com", row.from_name)
    content = Content(
        row.subject, row.text, row.html,
        reply_to=tuple(Mailbox(entry["email"], entry["name"]) for entry in row.reply_to),
        headers=tuple(row.headers.items()),
    )  # fmt: skip
    letter = Letter(content, sender, boundary_seed=row.id.hex)
    group = row.group_recipients or {}
    for message in new.messages:
        to = [Mailbox(entry["email"], entry["name"]) for entry in group.get("to", ())]
        composed = letter.compose(
            to=to or [Mailbox(message.recipient, message.recipient_name)],
            cc=[Mailbox(entry["email"], entry["name"]) for entry in group.get("cc", ())],
            variables=message.variables, message_id="<1@example.com>", date=NOW,
        )  # fmt: skip
        assert composed.content.count(b"\r\nBcc:") == 0


@settings(max_examples=400, deadline=None)
@given(EVENTS, st.just({}) | GROUPS)
def test_whatever_is_accepted_can_be_composed(fields: dict[str, Any], group: dict[str, Any]) -> None:
    try:
        new = understand(
            EventCreate.model_validate(fields | group), FACTS, workspace_id=uuid.uuid4(), created_by="test"
        )
    except (ValidationError, InvalidInput):
        note("refused")
        return
    note("accepted")
    compose_all(new)
