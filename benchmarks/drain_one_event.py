"""How fast one event leaves that has 10,000 recipients, each with variables; else as benchmarks/drain.py."""

from benchmarks.drain import WORKERS, drain_once
from benchmarks.letters import recipient, template, variables
from benchmarks.peers.post_office import PostOffice
from benchmarks.stand import Stand, stand
from benchmarks.table import Goal, Row, runs

NAME = "drain_one_event"

RECIPIENTS = 10_000


async def fill(bench: Stand, mails: int) -> None:
    """One event, due now."""
    says = template()
    recipients = [{"email": recipient(number), "variables": variables(number)} for number in range(mails)]
    event = {
        "email_subject": says.subject, "email_content": says.text, "email_html": says.html,
        "expected_sent_at": "now", "recipients": recipients,
    }  # fmt: skip
    await bench.post("/api/events", event)


async def measure(quick: bool) -> list[Row]:
    """The peer's mails were filled before its clock ran, which is how it is fastest; ours are filled as they leave."""
    ours: list[float] = []
    theirs: list[float] = []
    async with stand() as bench:
        peer = await PostOffice.prepare(bench)
        for _ in range(runs(quick)):
            ours.append(await drain_once(bench, RECIPIENTS, WORKERS, fill))
            theirs.append(await peer.drain(RECIPIENTS // 2 if quick else RECIPIENTS))
    what = f"drain, {WORKERS} worker processes, one event with {RECIPIENTS:,} recipients, with variables"
    peer_name = "django-post_office, 2 processes, filled beforehand"
    return [Row(what, "mails/s", ours, Goal("≥", 7, of="ratio"), peer_name, theirs)]
