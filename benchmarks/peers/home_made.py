"""The common home-made way: a Celery task a mail over Redis, `EmailMessage` and `smtplib` inside it, two processes.

It keeps no record of what was sent, and a crash of Redis loses what waits.
"""

import asyncio
from dataclasses import dataclass

from benchmarks.checks import check_arrivals
from benchmarks.letters import letters
from benchmarks.peers.environment import environment, python_of
from benchmarks.stand import Process, Stand, output_of, running

_PROCESSES = 2


@dataclass(frozen=True, slots=True)
class HomeMade:
    """Ready on a stand, with a database number of its own in the stand's Redis."""

    bench: Stand
    python: str
    environment: dict[str, str]

    @classmethod
    async def prepare(cls, bench: Stand) -> "HomeMade":
        """Its virtual environment."""
        broker = bench.redis_url.replace("unix://", "redis+socket://") + "?virtual_host=1"
        quiet = {"PYTHONWARNINGS": "ignore"}  # under root Celery warns of root
        settings = environment(PEER_BROKER=broker, PEER_SINK_PORT=str(bench.ledger.port), **quiet)
        return cls(bench, await python_of("home_made"), settings)

    async def drain(self, mails: int) -> float:
        """Fill, drain, prove. Mails a second, from the first to the last mail in the sink."""
        await output_of([self.python, "-m", "benchmarks.peers.home_made_fill", str(mails)], self.environment)
        start = self.bench.ledger.count()
        command = [
            self.python, "-m", "celery", "--app=benchmarks.peers.home_made_tasks", "worker", "--loglevel=ERROR",
            f"--concurrency={_PROCESSES}", "--without-gossip", "--without-mingle", "--without-heartbeat",
        ]  # fmt: skip
        with running(Process(self.bench.folder, "celery", command, self.environment)) as worker:
            async with asyncio.timeout(60 + mails / 50):
                while self.bench.ledger.count() - start < mails:
                    if worker.child.poll() is not None:
                        raise RuntimeError(f"celery ended: {worker.output.read_text()[-2000:]}")
                    await asyncio.sleep(0.2)
        arrived = await asyncio.to_thread(check_arrivals, self.bench.ledger.mails(start), letters(range(mails)))
        first, *_, last = arrived.values()
        return mails / (last - first)
