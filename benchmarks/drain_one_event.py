"""How fast one event leaves that has 10,000 recipients, each with variables; else as benchmarks/drain.py."""

from benchmarks.drain import WORKERS, drain_once
from benchmarks.letters import recipient, template, variables
from benchmarks.peers.post_office import AS_INSTALLED, TUNED, PostOffice
from benchmarks.progress import each_run
from benchmarks.stand import Stand, stand
from benchmarks.table import Goal, Row, runs

NAME = "drain_one_event"

RECIPIENTS = 10_000
_PEER_MAILS = 5_000  # one of its batches, so that its clock has no start of processes in it


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
    recipients, peer_mails = (3_000, 1_500) if quick else (RECIPIENTS, _PEER_MAILS)
    ours: list[float] = []
    as_installed: list[float] = []
    tuned: list[float] = []
    async with stand() as bench:
        peer = await PostOffice.prepare(bench)
        for _ in each_run(runs(quick)):
            ours.append(await drain_once(bench, recipients, WORKERS, fill))
            as_installed.append(await peer.drain(peer_mails, batch=AS_INSTALLED))
            tuned.append(await peer.drain(peer_mails, batch=TUNED))
    what = f"drain, {WORKERS} worker processes, one event with {recipients:,} recipients, with variables"
    peer_name = "django-post_office, 2 processes, filled beforehand, as installed"
    return [
        Row(what, "mails/s", ours, Goal("≥", 7, of="ratio"), peer_name, as_installed),
        Row(what, "mails/s", ours, Goal("≥", 7, of="ratio"), f"the same with BATCH_SIZE={TUNED:,}", tuned),
    ]
