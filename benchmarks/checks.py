"""The proof that a figure is worth something: nothing was bought with durability, each mail arrived once, as it was
written, and is on record. Each check raises RuntimeError."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from email import message_from_bytes, policy

from benchmarks.ledger import Arrival
from benchmarks.letters import Letter, digits
from janus_mail.storage.database import Database

_OWN_LINES = re.compile(rb"^(?:Date|Message-ID):.*\r\n(?:[ \t].*\r\n)*", re.IGNORECASE | re.MULTILINE)
_BOUNDARY = re.compile(rb'boundary="?([^"\r\n;]+)', re.IGNORECASE)

# Each message is sent, by one attempt, which begin had put on record and finish has closed.
_UNRECORDED = """
    SELECT count(*) FROM messages m
    WHERE m.state <> 'sent' OR m.sent_at IS NULL OR (
        SELECT count(*) FILTER (WHERE outcome = 'accepted' AND dispatched_at IS NOT NULL AND finished_at IS NOT NULL)
               || '/' || count(*)
        FROM attempts a WHERE a.message_id = m.id) <> '1/1'
"""


async def check_records(database: Database, mails: int) -> None:
    """Every message is there, sent, with its attempt."""
    stored = await database.pool.fetchval("SELECT count(*) FROM messages")
    unrecorded = await database.pool.fetchval(_UNRECORDED)
    if (stored, unrecorded) != (mails, 0):
        raise RuntimeError(f"{stored} of {mails} messages are stored, and {unrecorded} have no right record")


async def check_message_ids(database: Database, arrivals: Sequence[Arrival]) -> None:
    """What arrived is what is on record, by Message-ID."""
    rows = await database.pool.fetch("SELECT message_id_header FROM messages WHERE state = 'sent'")
    recorded = {row[0].strip("<>") for row in rows}
    arrived = {arrival.message_id for arrival in arrivals}
    if recorded != arrived:
        raise RuntimeError(
            f"{len(recorded - arrived)} mails on record did not arrive, {len(arrived - recorded)} others did"
        )


def check_arrivals(arrivals: Sequence[Arrival], expected: Mapping[str, tuple[int, Letter]]) -> None:
    """Each recipient got one mail, to nobody else, and it says what was written. `expected` is by recipient.

    Mails that differ in nothing but their number, Date, Message-ID and boundary are compared as bytes; one of each kind
    is then read by the standard library, not by the code that wrote it.
    """
    by_recipient = Counter(arrival.recipients for arrival in arrivals)
    wanted = {(address,) for address in expected}
    doubles = sum(times > 1 for times in by_recipient.values())
    if doubles or by_recipient.keys() != wanted:
        raise RuntimeError(
            f"{len(wanted - by_recipient.keys())} mails did not arrive, {doubles} came more than once, "
            f"{len(by_recipient.keys() - wanted)} are not ours"
        )
    if len({arrival.message_id for arrival in arrivals}) != len(arrivals):
        raise RuntimeError("two mails have one Message-ID")
    kinds: dict[bytes, Arrival] = {}
    for arrival in arrivals:
        kinds.setdefault(_kind(arrival, expected[arrival.recipients[0]][0]), arrival)
    for arrival in kinds.values():
        _check_content(arrival, expected[arrival.recipients[0]][1])


def _kind(arrival: Arrival, number: int) -> bytes:
    head, _, body = arrival.content.partition(b"\r\n\r\n")
    kind = _OWN_LINES.sub(b"", head + b"\r\n") + b"\r\n" + body
    if (boundary := _BOUNDARY.search(head)) is not None:
        kind = kind.replace(boundary[1], b"BOUNDARY")
    return kind.replace(digits(number).encode(), b"NUMBER")


def _check_content(arrival: Arrival, letter: Letter) -> None:
    mail = message_from_bytes(arrival.content, policy=policy.default)
    found = {"subject": str(mail["Subject"]), "to": str(mail["To"])}
    wanted = {"subject": letter.subject, "to": arrival.recipients[0]}
    for subtype, written in (("plain", letter.text), ("html", letter.html)):
        part = mail.get_body((subtype,))
        found[subtype] = "" if part is None else part.get_content().replace("\r\n", "\n").rstrip()
        wanted[subtype] = written.rstrip()
    wrong = [name for name, value in wanted.items() if found[name] != value]
    if wrong or mail.defects or not mail["Date"] or not mail["From"]:
        raise RuntimeError(f"the mail to {arrival.recipients[0]} is not what was written: {wrong or mail.defects}")
