"""The patrol's: what the dead left behind is put right."""

from janus_mail.delivery.queries.clock import CLOCK
from janus_mail.delivery.queries.evidence import PROVEN, doubt_until

# One holder at a time, by a row: advisory session locks break behind PgBouncer. $1 worker, $2 seconds.
TAKE_DUTY = """
    INSERT INTO duties (name, holder, until) VALUES ('patrol', $1, clock_timestamp() + $2 * interval '1 second')
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE duties.holder = excluded.holder OR duties.until < clock_timestamp()
    RETURNING holder
"""

LEAVE_DUTY = "UPDATE duties SET until = clock_timestamp() WHERE name = 'patrol' AND holder = $1"

_DOUBT_UNTIL = doubt_until("lapsed.lease_expires_at", "$2", "$3", message="m.id", provider="m.provider_id")

# $1 at most so many, $2 grace in seconds, $3 how many to wait for evidence where a provider gives it. Answers how many
# were scheduled again and how many are uncertain. Those of a group who were put off before are in doubt with it.
REAP = f"""
    WITH {CLOCK},
    lapsed AS MATERIALIZED (
        SELECT id, state, lease_expires_at FROM messages
        WHERE state IN ('leased', 'sending') AND lease_expires_at <= (SELECT now FROM clock)
        ORDER BY lease_expires_at LIMIT $1
        FOR UPDATE SKIP LOCKED
    ),
    closed AS (
        UPDATE attempts t
        SET finished_at = clock.now, outcome = 'uncertain', code = 'lease_expired', response = '',
            dispatched_at = t.started_at
        FROM lapsed, clock
        WHERE lapsed.state = 'sending' AND t.message_id = lapsed.id AND t.finished_at IS NULL
    ),
    doubted AS (
        UPDATE message_recipients r SET code = 'uncertain' FROM lapsed
        WHERE lapsed.state = 'sending' AND r.message_id = lapsed.id AND r.state = 'deferred'
    ),
    moved AS (
        UPDATE messages m
        SET state = CASE lapsed.state WHEN 'leased' THEN 'scheduled' ELSE 'uncertain' END,
            waiting_for = CASE lapsed.state WHEN 'sending' THEN 'evidence' END,
            next_try_at = CASE lapsed.state WHEN 'leased' THEN m.next_try_at
                               ELSE {_DOUBT_UNTIL} END,
            last_error = CASE lapsed.state WHEN 'leased' THEN m.last_error ELSE 'uncertain: lease_expired' END,
            fence = m.fence + 1, version = m.version + 1, leased_by = NULL, lease_expires_at = NULL
        FROM lapsed, clock WHERE m.id = lapsed.id
        RETURNING m.workspace_id, m.event_id, m.state
    ),
    marked AS (INSERT INTO event_dirty (workspace_id, event_id) SELECT DISTINCT workspace_id, event_id FROM moved)
    SELECT count(*) FILTER (WHERE state = 'scheduled') AS scheduled,
           count(*) FILTER (WHERE state = 'uncertain') AS uncertain FROM moved
"""  # noqa: S608

# By policy: once more, or a person decides. What is proven needs neither. $1 at most so many.
RESOLVE = f"""
    WITH {CLOCK},
    doubtful AS MATERIALIZED (
        SELECT m.id, e.on_uncertain = 'resend' AND m.resends = 0 AND m.cancel_at IS NULL
                     AND (m.expires_at IS NULL OR m.expires_at > (SELECT now FROM clock)) AS again
        FROM messages m JOIN events e ON e.id = m.event_id
        WHERE m.state = 'uncertain' AND m.next_try_at <= (SELECT now FROM clock) AND NOT {PROVEN}
        ORDER BY m.next_try_at LIMIT $1
        FOR UPDATE OF m SKIP LOCKED
    ),
    moved AS (
        UPDATE messages m
        SET state = CASE WHEN doubtful.again THEN 'scheduled' ELSE 'parked' END,
            resends = m.resends + CASE WHEN doubtful.again THEN 1 ELSE 0 END,
            next_try_at = clock.now, waiting_for = NULL, version = m.version + 1
        FROM doubtful, clock WHERE m.id = doubtful.id
        RETURNING m.workspace_id, m.event_id, m.state
    ),
    marked AS (INSERT INTO event_dirty (workspace_id, event_id) SELECT DISTINCT workspace_id, event_id FROM moved)
    SELECT count(*) FILTER (WHERE state = 'scheduled') AS again,
           count(*) FILTER (WHERE state = 'parked') AS parked FROM moved
"""  # noqa: S608

# The seconds within the horizon in which something is due, by a loose index scan; 0 for what is overdue.
DUE_SECONDS = f"""
    WITH RECURSIVE {CLOCK},
    second AS (
        (SELECT date_trunc('second', next_try_at) AS at FROM messages WHERE state = 'scheduled'
         ORDER BY next_try_at LIMIT 1)
        UNION ALL
        SELECT following.at FROM second CROSS JOIN LATERAL (
            SELECT date_trunc('second', m.next_try_at) AS at FROM messages m
            WHERE m.state = 'scheduled'
              AND m.next_try_at >= greatest(second.at, date_trunc('second', (SELECT now FROM clock)))
                                   + interval '1 second'
              AND m.next_try_at < (SELECT now FROM clock) + $1 * interval '1 second'
            ORDER BY m.next_try_at LIMIT 1
        ) following
    )
    SELECT at FROM second WHERE at < (SELECT now FROM clock) + $1 * interval '1 second'
"""  # noqa: S608

# $1 worker, $2 host, $3 pid, $4 seconds after which a silent one counts as dead. Answers how many are alive.
HEARTBEAT = """
    WITH mine AS (
        INSERT INTO workers (id, host, pid) VALUES ($1, $2, $3)
        ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp()
    )
    SELECT 1 + count(*)::int FROM workers
    WHERE id <> $1 AND seen_at > clock_timestamp() - $4 * interval '1 second'
"""

FORGET_WORKER = "DELETE FROM workers WHERE id = $1"

# Workers not seen for an hour, and keys whose day is over ($1 seconds).
CLEAN = """
    WITH workers_gone AS (DELETE FROM workers WHERE seen_at < clock_timestamp() - interval '1 hour')
    DELETE FROM idempotency_keys WHERE (workspace_id, route, key) IN (
        SELECT workspace_id, route, key FROM idempotency_keys
        WHERE created_at < clock_timestamp() - $1 * interval '1 second' LIMIT 1000
    )
"""
