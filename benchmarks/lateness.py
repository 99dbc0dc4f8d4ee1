"""How late mails leave that are due in one and the same second: `python -m benchmarks.lateness [--mails 500]`.

Lateness is from a mail's due time to the moment the sink has its final dot, both on one machine's clock.
"""

import argparse
import asyncio
import statistics
from datetime import UTC, datetime, timedelta

from benchmarks.stand import Stand, stand


async def one_run(bench: Stand, mails: int) -> list[float]:
    """Lateness in seconds of each mail, sorted."""
    due_at = (datetime.now(UTC) + timedelta(seconds=4)).replace(microsecond=0)
    before = set(bench.arrivals())
    events = [
        {
            "email_subject": f"Mail {number}", "email_content": "Hello.\n" * 40, "email_html": "<p>Hello.</p>" * 300,
            "expected_sent_at": due_at.isoformat(), "recipients": f"r{number}@example.com",
        }
        for number in range(mails)
    ]  # fmt: skip
    answer = await bench.api.post("/api/events/batch", json={"events": events})
    answer.raise_for_status()
    await asyncio.sleep((due_at - datetime.now(UTC)).total_seconds())
    await bench.all_final(within_s=60)
    await asyncio.sleep(0.5)  # the sink flushes its lines five times a second
    arrivals = [at for message_id, at in bench.arrivals().items() if message_id not in before]
    if len(arrivals) != mails:
        raise RuntimeError(f"{len(arrivals)} of {mails} mails arrived")
    return sorted(at - due_at.timestamp() for at in arrivals)


async def main(mails: int, runs: int) -> None:
    print(f"{mails} mails of 5 kB (text and HTML) due in one second, one worker process, idle system, {runs} runs")
    async with stand() as bench:
        bench.start_worker()
        await asyncio.sleep(2)
        figures = [await one_run(bench, mails) for _ in range(runs)]
    for name, place in (("p50", 0.50), ("p99", 0.99), ("last", 1.0)):
        values = sorted(late[min(round(place * len(late)), len(late) - 1)] for late in figures)
        print(f"{name:>5}  min {values[0]:.3f} s  median {statistics.median(values):.3f} s  max {values[-1]:.3f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=500)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.mails, arguments.runs))
