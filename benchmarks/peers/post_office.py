"""django-post_office 3.12 on the same PostgreSQL and sink: `send_queued_mail --processes=2` until all is sent."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import asyncpg

from benchmarks.checks import check_arrivals
from benchmarks.letters import letters
from benchmarks.peers.environment import environment, python_of
from benchmarks.stand import Stand, output_of, refuse_weak_durability

_PROCESSES = 2
_SENT = 0  # post_office.models.STATUS
AS_INSTALLED = 100
TUNED = 5_000  # each batch starts its processes, threads and connections anew, so few are faster


@dataclass(frozen=True, slots=True)
class PostOffice:
    """Ready on a stand, with a database of its own."""

    bench: Stand
    python: str
    dsn: str
    environment: dict[str, str]

    @classmethod
    async def prepare(cls, bench: Stand) -> "PostOffice":
        """Its virtual environment, its database, its tables."""
        python = await python_of("post_office")
        dsn = bench.postgres.url("post_office")
        await refuse_weak_durability(dsn)
        settings = environment(
            DJANGO_SETTINGS_MODULE="benchmarks.peers.post_office_settings",
            PEER_DATABASE_HOST=parse_qs(urlsplit(dsn).query)["host"][0],
            PEER_SINK_PORT=str(bench.ledger.port),
            PEER_BATCH_SIZE=str(AS_INSTALLED),
        )
        await output_of([python, "-m", "django", "migrate", "--verbosity=0"], settings)
        return cls(bench, python, dsn, settings)

    async def drain(self, mails: int, *, batch: int = TUNED) -> float:
        """Fill, drain, prove. Mails a second, from the first mail in the sink to the last one's log row."""
        environment = self.environment | {"PEER_BATCH_SIZE": str(batch)}
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute("TRUNCATE post_office_email CASCADE")
            await output_of([self.python, "-m", "benchmarks.peers.post_office_fill", str(mails)], environment)
            await connection.execute("ANALYZE")
            await connection.execute("CHECKPOINT")
            start = self.bench.ledger.count()
            lock = f"--lockfile={self.bench.folder / 'send_queued_mail'}"
            command = [self.python, "-m", "django", "send_queued_mail", f"--processes={_PROCESSES}", lock]
            await output_of(command, environment)
            arrived = await asyncio.to_thread(check_arrivals, self.bench.ledger.mails(start), letters(range(mails)))
            sent = await connection.fetchval("SELECT count(*) FROM post_office_email WHERE status = $1", _SENT)
            logged = await connection.fetchval("SELECT count(*) FROM post_office_log WHERE status = $1", _SENT)
            if (sent, logged) != (mails, mails):
                raise RuntimeError(f"django-post_office: {sent} sent and {logged} logged of {mails}")
            ended: datetime = await connection.fetchval("SELECT max(date) FROM post_office_log")
        finally:
            await connection.close()
        return mails / (ended.timestamp() - next(iter(arrived.values())))
