"""Runs in the peer's environment: `python -m benchmarks.peers.home_made_fill MAILS` queues a task a mail."""

import sys

from benchmarks.letters import letter, recipient
from benchmarks.peers.home_made_tasks import app, send


def main(mails: int) -> None:
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(mails):
            says = letter(number)
            send.apply_async((recipient(number), says.subject, says.text, says.html), producer=producer)


if __name__ == "__main__":
    main(int(sys.argv[1]))
