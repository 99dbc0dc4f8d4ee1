"""What one mail leaves in PostgreSQL: WAL by step, bytes of tables and indexes, and what removing it costs.

`python -m benchmarks.footprint` prints the figures that docs/scale.md reckons with. WAL is the whole server's, by the
distance between two positions. The first change of a page after a checkpoint writes the whole page: the round that
begins with a checkpoint shows the most that this can come to, the others the least.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Final

from benchmarks.letters import letter, recipient
from benchmarks.rows import Fill, fill, workspace_named
from benchmarks.stand import Stand, stand
from janus_mail.delivery.retention import Retention
from janus_mail.storage.list_cache import ListCache

_MAILS: Final = 1000
_ROWS: Final = 100_000
_TICKS: Final = 6
_STATISTICS_S: Final = 11  # an idle session tells what it did after 10 s

_WAL = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"
_XIDS = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
_CHANGES = """
    SELECT relname AS name, n_tup_ins AS inserted, n_tup_upd AS updated, n_tup_hot_upd AS hot, n_tup_del AS deleted
    FROM pg_stat_user_tables WHERE n_tup_ins + n_tup_upd + n_tup_del > $1 ORDER BY relname
"""
_SIZE = """
    SELECT pg_relation_size($1::regclass) AS rows, pg_indexes_size($1::regclass) AS indexes,
           coalesce(pg_total_relation_size(nullif(reltoastrelid, 0)), 0) AS toast
    FROM pg_class WHERE oid = $1::regclass
"""
_INDEX_SIZES = """
    SELECT indexrelid::regclass::text AS name, pg_relation_size(indexrelid) AS bytes
    FROM pg_index WHERE indrelid = ANY($1::text[]::regclass[]) ORDER BY bytes DESC
"""
_TABLES: Final = ("events", "messages", "attempts")


async def wal(bench: Stand) -> int:
    """Bytes written so far."""
    written: int = await bench.database.pool.fetchval(_WAL)
    return written


async def one_round(bench: Stand, recipients: int) -> None:
    """`_MAILS` mails accepted while no worker runs, then delivered; `recipients` to an event."""
    begin = await wal(bench)
    await bench.post("/api/events/batch", {"events": [_event(n, recipients) for n in range(_MAILS // recipients)]})
    accepted = await wal(bench)
    bench.start_worker()
    await bench.all_final(within_s=120)
    await bench.stop_workers()
    delivered = await wal(bench)
    print(f"  WAL a mail: accepted {(accepted - begin) / _MAILS:,.0f} bytes, "
          f"delivered {(delivered - accepted) / _MAILS:,.0f}")  # fmt: skip


def _event(number: int, recipients: int) -> dict[str, object]:
    content = letter(number)
    return {
        "email_subject": content.subject, "email_content": content.text, "email_html": content.html,
        "expected_sent_at": datetime.now(UTC).isoformat(),
        "recipients": [recipient(number * recipients + place) for place in range(recipients)],
    }  # fmt: skip


async def changes(bench: Stand) -> None:
    """Row versions and transactions of one round with an event a mail, per mail: what autovacuum has to clear away."""
    await bench.clear()
    await asyncio.sleep(_STATISTICS_S)
    await bench.database.pool.execute("SELECT pg_stat_reset()")
    begin = await bench.database.pool.fetchval(_XIDS)
    await one_round(bench, 1)
    print(f"  transactions a mail: {(await bench.database.pool.fetchval(_XIDS) - begin) / _MAILS:.2f}")
    await asyncio.sleep(_STATISTICS_S)
    for table in await bench.database.pool.fetch(_CHANGES, _MAILS // 10):
        name, *counts = table.items()
        print(f"  {name[1]} a mail: " + ", ".join(f"{what} {many / _MAILS:.2f}" for what, many in counts))


async def sizes(bench: Stand) -> None:
    """Bytes a row at `_ROWS` rows each, freshly written: updates and removals add what autovacuum leaves for reuse."""
    await bench.clear()
    await fill(bench.database, [await workspace_named(bench.database)], Fill(messages=_ROWS, state="sent"))
    print(f"{_ROWS:,} sent mails, an event each:")
    for table in _TABLES:
        row = await bench.database.pool.fetchrow(_SIZE, table)
        assert row is not None
        print(f"  {table}: " + ", ".join(f"{name} {size / _ROWS:,.0f}" for name, size in row.items()) + " bytes a row")
    for index in await bench.database.pool.fetch(_INDEX_SIZES, list(_TABLES)):
        print(f"    {index['name']}: {index['bytes'] / _ROWS:,.0f}")


async def removal(bench: Stand) -> None:
    """Retention at its own pace and limits, but tick after tick."""
    keeper, removed = Retention(bench.database, ListCache(None, 0), days=0), 0
    begin, began = await wal(bench), time.perf_counter()
    for _ in range(_TICKS):
        removed += await keeper.tick()
    took_s, written = time.perf_counter() - began, await wal(bench) - begin
    print(f"Retention: {removed:,} mails in {_TICKS} ticks of {took_s / _TICKS:.2f} s, WAL {written / removed:,.0f}")


async def main() -> None:
    async with stand() as bench:
        for recipients, checkpoint in ((1, False), (1, False), (1, True), (1000, False)):
            if checkpoint:
                await bench.settle()
            print(f"{_MAILS:,} mails, {recipients} to an event{', after a checkpoint' if checkpoint else ''}:")
            await one_round(bench, recipients)
        print(f"{_MAILS:,} mails, 1 to an event, counted:")
        await changes(bench)
        await sizes(bench)
        await removal(bench)


if __name__ == "__main__":
    asyncio.run(main())
