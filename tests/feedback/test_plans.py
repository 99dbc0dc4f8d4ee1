"""The statements that every post passes through are planned for large tables."""

from janus_mail.delivery.queries import evidence, repair, tries
from janus_mail.feedback import queries
from tests.delivery.conftest import Workshop
from tests.delivery.test_statements import NONE, arguments_of, backlog, plan

STATEMENTS = {
    "find": (queries.FIND, [NONE] * 5),
    "lock": (queries.LOCK, [NONE]),
    "outruns": (queries.OUTRUNS, [NONE] * 4),
    "take": (queries.TAKE, ["50", "1000000"]),
    "take these": (queries.TAKE_THESE, [NONE]),
    "done": (queries.DONE, [NONE]),
    "put off": (queries.PUT_OFF, [NONE] * 3),
    "reached": (evidence.REACHED, [NONE] * 2),
    "prove": (evidence.PROVE, [NONE] * 3),
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
