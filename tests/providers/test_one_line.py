"""A line break never leaves in what must be one line, whoever made the mail, and a secret never shows in a request."""

import importlib
from typing import Any

import pytest

from janus_mail.providers.contract import Address, Attachment
from janus_mail.providers.outcomes import MessageRejected
from janus_mail.providers.registry import KINDS

from .bench import Bench
from .conftest import Hold, fields_to, mail_to
from .served import served

BREAK = "x\r\nBcc: eve@example.com"
FIELDS: dict[str, dict[str, Any]] = {
    "subject": {"subject": BREAK},
    "sender": {"sender": Address("a@example.com", BREAK)},
    "to": {"to": (Address("b@example.net", BREAK),)},
    "address": {"to": (Address(f"b@example.net{BREAK}"),)},
    "cc": {"cc": (Address("c@example.net", BREAK),)},
    "bcc": {"bcc": (Address("d@example.net", BREAK),)},
    "reply_to": {"reply_to": (Address("e@example.net", BREAK),)},
    "header": {"headers": {"X-Campaign": BREAK}},
    "header's name": {"headers": {BREAK: "summer"}},
    "file's name": {"attachments": (Attachment(BREAK, "text/plain", b"1"),)},
    "file's type": {"attachments": (Attachment("a.txt", BREAK, b"1"),)},
    "file's id": {"html": "<p>", "attachments": (Attachment("a.png", "image/png", b"1", BREAK),)},
}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("smtp", "ses")])  # these send composed bytes
@pytest.mark.parametrize("changed", FIELDS.values(), ids=FIELDS)
async def test_a_line_break_is_refused_before_anything_leaves(kind: str, changed: dict[str, Any]) -> None:
    bench: Bench = importlib.import_module(f"tests.providers.fake_{kind}").BENCH
    fields = fields_to(**changed)
    everyone = [address.email for address in (*fields.to, *fields.cc, *fields.bcc)]
    async with served(bench) as (server, adapter):
        with pytest.raises(MessageRejected, match="line_break"):
            await adapter.send(mail_to(*everyone, fields=lambda: fields), Hold())
    assert not server.requests


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("smtp", "ses")])
def test_a_request_shows_no_secret(kind: str) -> None:
    module = importlib.import_module(f"janus_mail.providers.{kind}")
    bench: Bench = importlib.import_module(f"tests.providers.fake_{kind}").BENCH
    fields = fields_to()
    config = KINDS[kind].config_model.model_validate(bench.config)
    shown = repr(module.SERVICE.request(config, mail_to("b@example.net", fields=lambda: fields), fields))
    for name in bench.strange_config:
        assert str(bench.config[name]) not in shown
