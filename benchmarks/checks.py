"""The proof that a figure is worth something: nothing was bought with durability, each mail arrived once, as it was
written, and is on record. Each check raises RuntimeError."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from email import message_from_bytes, policy

from benchmarks.ledger import Arrival
from benchmarks.letters import Letter, digits
from janus_mail.storage.database import Database

_OWN_LINES = re.compile(rb"^(?:Date|Message-ID):.*\r\n(?:[ \t].*\r\n)*", re.IGNORECASE | re.MULTILINE)
_BOUNDARY = re.compile(rb'boundary="?([^"\r\n;]+)', re.IGNORECASE)

# What was due before is history that a measurement has filled in.
_MEASURED = "FROM messages m WHERE m.due_at > clock_timestamp() - interval '1 day'"
# Each message is sent, by one attempt, which begin had put on record and finish has closed.
_UNRECORDED = f"""
    SELECT count(*) {_MEASURED} AND m.state <> 'scheduled' AND (m.state <> 'sent' OR m.sent_at IS NULL OR (
        SELECT count(*) FILTER (WHERE outcome = 'accepted' AND dispatched_at IS NOT NULL AND finished_at IS NOT NULL)
               || '/' || count(*)
        FROM attempts a WHERE a.message_id = m.id) <> '1/1')
"""


async def check_records(database: Database, mails: int, *, waiting: int = 0) -> None:
    """Every message is there, sent, with its attempt; but for those that are to be waiting still."""
    stored = await database.pool.fetchval(f"SELECT count(*) {_MEASURED} AND m.state <> 'scheduled'")
    left = await database.pool.fetchval(f"SELECT count(*) {_MEASURED} AND m.state = 'scheduled'")
    unrecorded = await database.pool.fetchval(_UNRECORDED)
    if (stored, left, unrecorded) != (mails, waiting, 0):
        raise RuntimeError(
            f"{stored} of {mails} messages are stored, {unrecorded} have no right record, "
            f"and {left} wait, not {waiting}"
        )


async def check_message_ids(database: Database, arrived: Collection[str]) -> None:
    """What arrived is what is on record, by Message-ID."""
    rows = await database.pool.fetch(f"SELECT message_id_header {_MEASURED} AND m.state = 'sent'")
    recorded = {row[0].strip("<>") for row in rows}
    if recorded != set(arrived):
        raise RuntimeError(
            f"{len(recorded.difference(arrived))} mails on record did not arrive, "
            f"{len(set(arrived) - recorded)} others did"
        )


def check_arrivals(arrivals: Iterable[Arrival], expected: Mapping[str, tuple[int, Letter]]) -> dict[str, float]:
    """Each recipient got one mail, to nobody else, and it says what was written. `expected` is by recipient.

    When each came, by Message-ID, in the order of their arrival. Mails that differ in nothing but their number, Date,
    Message-ID and boundary are compared as bytes; one of each kind is then read by the standard library, not by the
    code that wrote it.
    """
    by_recipient: Counter[tuple[str, ...]] = Counter()
    arrived: dict[str, float] = {}
    kinds: dict[bytes, Arrival] = {}
    for arrival in arrivals:
        by_recipient[arrival.recipients] += 1
        arrived[arrival.message_id] = arrival.at
        if (known := expected.get(arrival.recipients[0] if arrival.recipients else "")) is not None:
            kinds.setdefault(_kind(arrival, known[0]), arrival)
    wanted = {(address,) for address in expected}
    doubles = sum(times > 1 for times in by_recipient.values())
    if doubles or by_recipient.keys() != wanted:
        raise RuntimeError(
            f"{len(wanted - by_recipient.keys())} mails did not arrive, {doubles} came more than once, "
            f"{len(by_recipient.keys() - wanted)} are not ours"
        )
    if len(arrived) != len(by_recipient):
        raise RuntimeError("two mails have one Message-ID")
    for arrival in kinds.values():
        _check_content(arrival, expected[arrival.recipients[0]][1])
    return arrived


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
