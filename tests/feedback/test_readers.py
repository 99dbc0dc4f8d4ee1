"""What every reader keeps to, whatever its service posts."""

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

from janus_mail.feedback.reader import Happened, Unreadable
from janus_mail.feedback.readers import DSN, READERS
from janus_mail.feedback.values import MAX_KEY_LENGTH
from janus_mail.models.states import FeedbackType
from janus_mail.providers.registry import kind_named

from . import test_brevo_hook as brevo
from . import test_mailgun_hook as mailgun
from . import test_mailtrap_hook as mailtrap
from . import test_mandrill_hook as mandrill
from . import test_postmark_hook as postmark
from . import test_resend_hook as resend
from . import test_ses_hook as ses
from .bounces import POSTFIX
from .conftest import batch
from .conftest import event as event_of
from .hook_posts import MESSAGE_UUID, post_of
from .sns_signing import notification

LONG = "x" * 1000
WORD = "something-new"


class Told(NamedTuple):
    """A kind's post of one event, the settings that its reader reads, and whether several come in one post."""

    body: Any
    settings: set[str]
    headers: Mapping[str, str] = {}


def _bounce(text: str) -> str:
    return text.format(id=MESSAGE_UUID.replace("-", ""), to="ann@example.com")


KINDS = {
    "brevo": Told(brevo.COMMON | {"event": "delivered"}, {"webhook_password"}),
    DSN: Told(_bounce(POSTFIX), set()),
    "mailgun": Told(
        {"signature": mailgun.signed(), "event-data": mailgun.COMMON | {"event": "delivered"}},
        {"webhook_signing_key", "api_key"},
    ),
    "mailtrap": Told({"events": mailtrap.EVENTS[:1]}, {"webhook_secret"}),
    "mandrill": Told(mandrill.form([mandrill.event("send", mandrill.mail())]), {"webhook_key", "webhook_url"}),
    "postmark": Told(postmark.DELIVERY, {"webhook_password"}),
    "resend": Told(resend.event("email.delivered"), {"webhook_secret"}, {"svix-id": resend.SVIX_ID}),
    "sendgrid": Told(batch(event_of("delivered")), {"webhook_public_key"}),
    "ses": Told(notification(ses.event("Delivery", ses.DELIVERY)), {"topic_arn", "signing_certificate"}),
}
SERVICES = sorted(KINDS.keys() - {DSN})

# Each kind's event under a word that nobody knows, and under an id that is far too long.
UNKNOWN: dict[str, Any] = {
    "brevo": brevo.COMMON | {"event": WORD},
    "mailgun": {"event-data": mailgun.COMMON | {"event": WORD}},
    "mailtrap": {"events": [mailtrap.COMMON | {"event": WORD}]},
    "mandrill": mandrill.form([mandrill.event(WORD, mandrill.mail())]),
    "postmark": postmark.COMMON | {"RecordType": WORD},
    "resend": resend.event(WORD),
    "sendgrid": batch(event_of(WORD)),
    "ses": notification(ses.event(WORD, {})),
}
LONG_IDS: dict[str, Any] = {
    "brevo": brevo.COMMON | {"event": "click", "message-id": LONG, "link": LONG},
    "mailgun": {"signature": {"token": LONG}, "event-data": mailgun.COMMON | {"event": "opened"}},
    "mailtrap": {"events": [mailtrap.COMMON | {"event": "open", "event_id": LONG}]},
    "mandrill": mandrill.form([mandrill.event("click", mandrill.mail(), url=LONG)]),
    "postmark": postmark.OPEN | {"MessageID": LONG, "ReceivedAt": LONG},
    "resend": resend.event("email.delivered", to=[LONG]),
    "sendgrid": batch(event_of("open", sg_event_id=LONG)),
    "ses": notification(ses.event("Open", ses.VISIT), MessageId=LONG),
}
LISTS: dict[str, Callable[[list[Any]], Any]] = {
    "brevo": lambda events: events,
    "mailtrap": lambda events: {"events": events},
    "mandrill": mandrill.form,
    "sendgrid": json.dumps,
}
EVENTS: dict[str, list[dict[str, Any]]] = {
    "brevo": [brevo.COMMON | {"event": word} for word in ("delivered", "opened", "click")],
    "mailtrap": [mailtrap.COMMON | {"event": word, "event_id": word} for word in ("delivery", "open", "click")],
    "mandrill": [mandrill.event(word, mandrill.mail()) for word in ("send", "open", "spam")],
    "sendgrid": [event_of(word) for word in ("delivered", "open", "click")],
}
FOREIGN = [
    b"", b"\0", b"\xff\xfe", b"null", b"true", b"17", b'"text"', b"[]", b"{}", b'{"hello":"world"}', b"[[]]", b"<xml/>",
    b'{"events":"x"}', b'{"data":{"object":"charge"},"object":"event"}', b"[" * 100_000,
    b'{"a":' * 500 + b"1" + b"}" * 500,
    b"payload=%7B%7D", b"GET / HTTP/1.1\r\n\r\n",
]  # fmt: skip


def read(kind: str, body: Any) -> list[Happened]:
    return READERS[kind].read(post_of(body, KINDS[kind].headers))


def test_every_reader_is_tried_here() -> None:
    assert KINDS.keys() == READERS.keys()


@pytest.mark.parametrize("kind", SERVICES)
def test_the_settings_that_a_reader_reads_are_those_of_its_kind(kind: str) -> None:
    assert KINDS[kind].settings <= kind_named(kind).config_model.model_fields.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_told_again_has_the_same_keys(kind: str) -> None:
    post = post_of(KINDS[kind].body, KINDS[kind].headers)
    later = replace(post, headers=dict(post.headers), body=bytes(post.body))
    first, again = READERS[kind].read(post), READERS[kind].read(later)
    assert first == again
    assert first
    assert all(happened.key for happened in first)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_headers_that_are_kept_are_needed(kind: str) -> None:
    post = post_of(KINDS[kind].body, KINDS[kind].headers)
    kept = {name: value for name, value in post.headers.items() if name in READERS[kind].keeps}
    assert READERS[kind].read(replace(post, headers=kept, url="")) == READERS[kind].read(post)


@pytest.mark.parametrize("kind", LISTS)
def test_the_order_of_events_makes_none_of_them_another(kind: str) -> None:
    told = [
        sorted(read(kind, LISTS[kind](list(events))), key=lambda happened: happened.key)
        for events in itertools.permutations(EVENTS[kind])
    ]
    assert len(told[0]) == 3
    assert all(each == told[0] for each in told)


@pytest.mark.parametrize("kind", LISTS)
def test_what_is_no_event_does_not_keep_those_beside_it(kind: str) -> None:
    (happened,) = read(kind, LISTS[kind]([7, None, {}, EVENTS[kind][0], "x"]))
    assert happened.type is not FeedbackType.UNKNOWN


@pytest.mark.parametrize("kind", SERVICES)
def test_an_event_of_an_unknown_type_is_kept_as_one(kind: str) -> None:
    (happened,) = read(kind, UNKNOWN[kind])
    assert happened.type is FeedbackType.UNKNOWN
    assert happened.raw


@pytest.mark.parametrize("kind", SERVICES)
def test_keys_are_never_long(kind: str) -> None:
    keys = [happened.key for happened in read(kind, LONG_IDS[kind])]
    assert keys
    assert all(len(key) <= MAX_KEY_LENGTH for key in keys)
    assert keys == [happened.key for happened in read(kind, LONG_IDS[kind])]


@pytest.mark.parametrize("kind", SERVICES)
def test_nuls_which_postgresql_cannot_store_are_left_out(kind: str) -> None:
    body = KINDS[kind].body
    written = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    nul = (
        urlencode({"": "\\u0000"})[1:].encode() if kind == "mandrill" else b"\\\\u0000" if kind == "ses" else b"\\u0000"
    )
    (happened,) = READERS[kind].read(post_of(written.replace(b"ann", b"an" + nul + b"n"), KINDS[kind].headers))
    assert "\\u0000" not in json.dumps([dict(happened.raw), happened.recipient, happened.reason, happened.key])
    assert happened.recipient is not None
    assert happened.recipient.startswith("ann@")


@pytest.mark.parametrize("kind", LISTS)
def test_what_is_nested_too_deep_to_be_stored_is_unreadable(kind: str) -> None:
    nested: Any = {}
    for _ in range(400):
        nested = {"x": nested}
    with pytest.raises(Unreadable):
        read(kind, LISTS[kind]([EVENTS[kind][0] | {"x": nested}]))


@pytest.mark.parametrize("body", FOREIGN, ids=lambda body: body[:20].decode("latin-1"))
@pytest.mark.parametrize("kind", KINDS)
def test_what_another_service_would_post_is_unreadable_or_nothing(kind: str, body: bytes) -> None:
    try:
        assert read(kind, body) == []
    except Unreadable:
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_a_subscription_asks_for_a_confirmation(kind: str) -> None:
    assert READERS[kind].confirmations(post_of(KINDS[kind].body, KINDS[kind].headers)) == []
