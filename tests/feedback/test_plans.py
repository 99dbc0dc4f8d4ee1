"""The statements that every post passes through are planned for large tables."""

import json
import uuid
from typing import Any

from janus_mail.delivery.queries import evidence, repair, tries
from janus_mail.feedback import queries
from tests.delivery.conftest import Workshop
from tests.delivery.test_statements import NONE, arguments_of, backlog, plan

STATEMENTS = {
    "find": (queries.FIND, [NONE] * 5),
    "lock": (queries.LOCK, [NONE]),
    "outruns": (queries.OUTRUNS, [NONE] * 4),
    "take": (queries.TAKE, ["50", "1000000", "3", "10", "14400"]),
    "take these": (queries.TAKE_THESE, [NONE]),
    "done": (queries.DONE, [NONE]),
    "put off": (queries.PUT_OFF, [NONE] * 3),
    "note why": (queries.NOTE, [NONE, "'why'"]),
    "reached": (evidence.REACHED, [NONE] * 2),
    "note proof": (evidence.NOTE, [NONE] * 5),
    "reached recipient": (evidence.REACHED_RECIPIENT, [NONE] * 7),
    "taken with it": (evidence.TAKEN_WITH_IT, [NONE]),
    "settle": (evidence.SETTLE, [NONE]),
    "due and proven": (evidence.DUE_AND_PROVEN, ["500"]),
    "resolve": (repair.RESOLVE, ["500"]),
    "reap": (repair.REAP, ["500", "30", "900"]),
    "finish": (tries.FINISH_OTHERWISE, arguments_of("FINISH_OTHERWISE")),
}


async def fill(shop: Workshop) -> None:
    """5,000 messages with an attempt each, some of them uncertain, 2,000 posts, 5,000 events of feedback."""
    await backlog(shop)
    provider_id = await shop.provider()
    for statement in (
        """INSERT INTO hook_posts (id, workspace_id, provider_id, kind, body)
           SELECT gen_random_uuid(), $1, $2, 'sendgrid', '' FROM generate_series(1, 2000)""",
        """INSERT INTO attempts (id, workspace_id, message_id, number, round, fence, worker_id, provider_id,
                                 provider_kind, provider_name, started_at, finished_at, outcome)
           SELECT gen_random_uuid(), $1, id, 1, 1, 1, gen_random_uuid(), $2, 'sendgrid', 'SendGrid', now(), now(),
                  CASE WHEN random() < 0.02 THEN 'uncertain' ELSE 'accepted' END FROM messages""",
        """INSERT INTO feedback_events (id, workspace_id, provider_id, message_id, key, type, occurred_at)
           SELECT gen_random_uuid(), $1, $2, id, id::text, 'delivered', now() FROM messages""",
    ):
        await shop.database.pool.execute(statement, shop.workspace_id, provider_id)
    await shop.database.pool.execute("UPDATE messages SET state = 'uncertain' WHERE random() < 0.02")
    await shop.database.pool.execute("ANALYZE hook_posts, attempts, feedback_events, messages")


async def test_what_is_repeated_for_every_post_reads_no_table_from_end_to_end(shop: Workshop) -> None:
    await fill(shop)
    try:
        plans = {name: await plan(shop.database, *[text, *arguments]) for name, (text, arguments) in STATEMENTS.items()}
    finally:
        await shop.database.pool.execute("TRUNCATE hook_posts")
    for table in ("messages", "hook_posts", "attempts", "feedback_events"):
        read_whole = [name for name, found in plans.items() if f"Seq Scan on {table}" in found]
        assert read_whole == [], plans[read_whole[0]]


async def pages_read(shop: Workshop, statement: str, *asked: Any) -> int:
    """How many pages the statement touches, planned as a worker's connection does."""
    async with shop.database.transaction() as connection:
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        found = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *asked)
    (told,) = json.loads(found) if isinstance(found, str) else found
    return int(told["Plan"]["Shared Hit Blocks"]) + int(told["Plan"]["Shared Read Blocks"])


async def test_an_address_that_was_mailed_very_often_costs_no_more_than_another(shop: Workshop) -> None:
    provider_id, event_id = await shop.provider(), await shop.event("ops@example.org")
    await shop.database.pool.execute(
        """INSERT INTO messages (id, workspace_id, event_id, recipient, state, due_at, next_try_at, priority,
                                 give_up_at, provider_id, provider_message_id)
           SELECT gen_random_uuid(), $1, $2, 'ops@example.org', 'sent', now(), now(), 1, now(), $3, 'id' || n
           FROM generate_series(1, 20000) n""",
        shop.workspace_id, event_id, provider_id,
    )  # fmt: skip
    await shop.database.pool.execute("VACUUM ANALYZE messages")
    rows = await shop.database.pool.fetch(
        "SELECT id, provider_message_id FROM messages WHERE provider_message_id IS NOT NULL ORDER BY id DESC"
    )
    newest, oldest = rows[0], rows[-1]
    where, whose = [shop.workspace_id], [["Ops@example.org"], ["ops@example.org"]]

    async def found(message_id: uuid.UUID | None, service_id: str) -> list[uuid.UUID]:
        answer = await shop.database.pool.fetch(queries.FIND, where, [message_id], *whose, [service_id])
        return [row["id"] for row in answer]

    assert await found(oldest["id"], newest["provider_message_id"]) == [oldest["id"]]
    assert await found(None, newest["provider_message_id"]) == [newest["id"]]
    assert await found(uuid.uuid4(), "nobody's") == []
    assert await pages_read(shop, queries.FIND, where, [oldest["id"]], *whose, ["id1"]) < 50
    assert await pages_read(shop, queries.FIND, where, [None], *whose, ["nobody's"]) < 1_500
    assert await pages_read(shop, queries.OUTRUNS, where, [provider_id], *whose) < 1_500
