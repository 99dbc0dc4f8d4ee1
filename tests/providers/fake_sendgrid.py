"""SendGrid on loopback: checks each request as the real service does.

    python -m tests.providers.fake_sendgrid [--port N] [--key KEY]

Its first line on stdout is its port; then, one JSON object a line, flushed, each mail at the moment it is taken: `at`
(seconds since the epoch), `id` (SendGrid's), `janus_message_id`, `message_id` (the header), `recipients`, `subject`.
A line on stdin such as `{"act": "CUT_TAKEN", "share": 0.01}` has it do that (see `Act`) to so many of the coming
requests, `{"act": null}` ends it; either is answered by `fired`: how often it was done so far. SIGTERM ends the server.
"""

import argparse
import asyncio
import base64
import json
import signal
import sys
import threading
from collections.abc import Sequence
from email.header import decode_header, make_header
from typing import Any

from janus_mail.providers.contract import Address, Attachment
from janus_mail.providers.outcomes import Outcome

from . import sendgrid_rules as rules
from .bench import Bench, Case
from .fake_http import ID, Act, FakeHttp, Reply, Request, Step, TakenMail
from .sendgrid_rules import KEY, refusal_of

RESETS_IN_20_S = {"Date": "Wed, 19 Feb 2014 15:34:03 GMT", "X-RateLimit-Reset": "1392824063"}


class FakeSendGrid(FakeHttp):
    """Taken mail is told to `on_taken`."""

    def __init__(self, *steps: Step, key: str = KEY, **options: Any) -> None:
        super().__init__(*steps, **options)
        self._key = key

    def answer(self, request: Request) -> Reply:
        if (request.method, request.path) == ("GET", "/v3/scopes"):
            known = request.headers.get("authorization") == f"Bearer {self._key}"
            refused = refusal_of("POST", "/v3/mail/send", {}, b"")
            assert refused is not None
            return Reply(200, b'{"scopes":["mail.send"]}') if known else Reply(*refused)
        refusal = refusal_of(request.method, request.path, request.headers, request.body, self._key)
        if refusal is not None:
            return Reply(*refusal)
        if request.mail.get("mail_settings", {}).get("sandbox_mode", {}).get("enable"):
            return Reply(200)
        return Reply(202, headers={"X-Message-Id": ID}, takes_it=True)

    def read(self, request: Request, id_: str) -> TakenMail:
        mail = request.mail
        (people,) = mail["personalizations"]
        contents = {part["type"]: part["value"] for part in mail["content"]}
        metadata = dict(mail.get("custom_args", {}))
        one = [mail["reply_to"]] if "reply_to" in mail else []
        return TakenMail(
            id=id_, janus_message_id=metadata.pop("janus_message_id", None), sender=_address(mail["from"]),
            to=_addresses(people.get("to", [])), cc=_addresses(people.get("cc", [])),
            bcc=_addresses(people.get("bcc", [])), reply_to=_addresses([*one, *mail.get("reply_to_list", [])]),
            subject=mail["subject"], text=contents.get("text/plain"), html=contents.get("text/html"),
            headers={k: str(make_header(decode_header(v))) for k, v in mail.get("headers", {}).items()},
            attachments=tuple(
                Attachment(file["filename"], file["type"], base64.b64decode(file["content"]), file.get("content_id"))
                for file in mail.get("attachments", [])
            ),
            tags=tuple(mail.get("categories", [])), metadata=metadata, mail=mail,
        )  # fmt: skip


def _addresses(given: Sequence[dict[str, str]]) -> tuple[Address, ...]:
    return tuple(_address(address) for address in given)


def _address(given: dict[str, str]) -> Address:
    return Address(given["email"], given.get("name"))


BENCH = Bench(
    kind="sendgrid",
    fake=FakeSendGrid,
    config={"api_key": KEY},
    strange_config={"api_key": "SG.revoked-key.of-yesterday"},
    cases=(
        Case(said="key revoked", reply=Reply(*rules.GRANT_INVALID), outcome=Outcome.PROVIDER_BROKEN, scope="provider"),
        Case(said="no credits", reply=Reply(*rules.OUT_OF_CREDITS), outcome=Outcome.PROVIDER_BROKEN, scope="provider"),
        Case(said="sender", reply=Reply(*rules.SENDER_UNVERIFIED), outcome=Outcome.PROVIDER_BROKEN, scope="sender"),
        Case(said="scope missing", reply=Reply(*rules.FORBIDDEN), outcome=Outcome.PROVIDER_BROKEN, scope="provider"),
        Case(
            said="bad recipient",
            reply=Reply(*rules.errors(400, ("Does not contain a valid address.", "personalizations.0.to.0.email"))),
            outcome=Outcome.RECIPIENT_REJECTED,
        ),
        Case(
            said="bad subject",
            reply=Reply(*rules.errors(400, ("The subject is required.", "subject"))),
            outcome=Outcome.MESSAGE_REJECTED,
        ),
        Case(said="too large", reply=Reply(*rules.TOO_LARGE), outcome=Outcome.MESSAGE_REJECTED),
        Case(said="throttled", reply=Reply(*rules.TOO_MANY), outcome=Outcome.THROTTLED),
        Case(
            said="throttled, with the time of its reset",
            reply=Reply(*rules.TOO_MANY, headers=RESETS_IN_20_S),
            outcome=Outcome.THROTTLED,
            retry_after_s=20,
        ),
        Case(said="500", reply=Reply(*rules.BROKEN), outcome=Outcome.PROVIDER_DOWN),
        Case(said="503", reply=Reply(*rules.UNAVAILABLE), outcome=Outcome.PROVIDER_DOWN),
    ),
    odd_successes=(Reply(202, b""), Reply(200, b"")),
)


async def _main(port: int, key: str) -> None:
    """Until SIGTERM."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    fake = await FakeSendGrid(key=key, on_taken=lambda taken: _write(taken.for_json())).start(port)
    _write(fake.port)
    threading.Thread(target=_orders, args=(fake, loop), daemon=True).start()
    await stop.wait()
    await fake.stop()


def _orders(fake: FakeSendGrid, loop: asyncio.AbstractEventLoop) -> None:
    for line in sys.stdin:
        order = json.loads(line)
        act = Act[order["act"]] if order.get("act") else None
        loop.call_soon_threadsafe(fake.misbehave, act, order.get("share", 1.0))
        loop.call_soon_threadsafe(lambda: _write({"fired": fake.fired}))


def _write(line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--key", default=KEY)
    given = arguments.parse_args()
    asyncio.run(_main(given.port, given.key))
