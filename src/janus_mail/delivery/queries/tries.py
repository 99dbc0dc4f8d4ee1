"""A try: begun before anything can leave, finished once, proven late if need be."""

from janus_mail.delivery.queries.clock import CLOCK, NOT_PAUSED
from janus_mail.delivery.queries.evidence import SOME_LEFT, doubt_until

# The messages are locked in the order of their ids. `state || ''` keeps the planner from reading a whole partial index
# for each of them when its statistics say that hardly anything is in that state.

# $1 worker, $2 lease in seconds, then one array a column. Answers the attempts that are open and ours.
BEGIN = f"""
    WITH {CLOCK},
    asked AS MATERIALIZED (
        SELECT * FROM unnest($3::uuid[], $4::uuid[], $5::int8[], $6::uuid[], $7::text[], $8::text[], $9::text[],
                             $10::timestamptz[])
            AS a (attempt_id, message_id, fence, provider_id, provider_kind, provider_name, message_id_header, dated_at)
        ORDER BY message_id
    ),
    held AS MATERIALIZED (
        SELECT a.* FROM clock CROSS JOIN asked a CROSS JOIN LATERAL (
            SELECT FROM messages m
            WHERE m.id = a.message_id AND m.fence = a.fence AND m.leased_by = $1 AND m.state || '' = 'leased'
              AND m.lease_expires_at > clock.now AND (m.expires_at IS NULL OR m.expires_at > clock.now)
              AND {NOT_PAUSED}
            FOR UPDATE
        ) m
    ),
    moved AS (
        UPDATE messages m
        SET state = 'sending', attempt_count = m.attempt_count + 1, provider_id = held.provider_id,
            lease_expires_at = clock.now + $2 * interval '1 second',
            message_id_header = coalesce(m.message_id_header, held.message_id_header),
            dated_at = coalesce(m.dated_at, held.dated_at), version = m.version + 1
        FROM held, clock WHERE m.id = held.message_id
        RETURNING m.workspace_id, m.event_id, m.attempt_count, m.round, held.*
    ),
    marked AS (INSERT INTO event_dirty (workspace_id, event_id) SELECT DISTINCT workspace_id, event_id FROM moved)
    INSERT INTO attempts (id, workspace_id, message_id, number, round, fence, worker_id, provider_id, provider_kind,
                          provider_name, started_at)
    SELECT attempt_id, workspace_id, message_id, attempt_count, round, fence, $1, provider_id, provider_kind,
           provider_name, clock.now
    FROM moved, clock
    RETURNING id
"""  # noqa: S608

# Of these attempts, with their fences, those that an earlier try of BEGIN opened whose commit was not heard of; and how
# long their leases still last. $1 uuid[] attempts, $2 int8[] fences.
BEGUN_BEFORE = """
    SELECT t.id, extract(epoch FROM m.lease_expires_at - clock_timestamp())::float8 AS left_s
    FROM unnest($1::uuid[], $2::int8[]) AS a (id, fence)
    JOIN attempts t ON t.id = a.id JOIN messages m ON m.id = t.message_id
    WHERE m.state = 'sending' AND m.fence = a.fence AND t.finished_at IS NULL
      AND m.lease_expires_at > clock_timestamp()
"""

# What every end of a begun try writes, whatever came of it.
_CLOSED = """finished_at = clock.now, code = held.code, response = held.response, latency_ms = held.latency_ms,
            dispatched_at = clock.now - (held.latency_ms - held.dispatched_ms) * interval '1 millisecond',
            started_at = clock.now - held.latency_ms * interval '1 millisecond'"""

_DOUBT_UNTIL = doubt_until("g.lease_expires_at", "$3", "$4", message="g.message_id", provider="g.provider_id")

# $1 worker, $2 lease, $3 grace, $4 wait for evidence in seconds, then one array a column. Answers the attempts that are
# closed as given. `there`: the mail that it sends once more is known to be there; `proven`: and nobody is left to try.
# Those of a group who were put off before are in doubt with it, until their answers are written.
FINISH_OTHERWISE = f"""
    WITH {CLOCK},
    given AS MATERIALIZED (
        SELECT * FROM unnest($5::uuid[], $6::uuid[], $7::int8[], $8::bool[], $9::uuid[], $10::text[], $11::text[],
                             $12::text[], $13::text[], $14::text[], $15::int[], $16::int[], $17::text[], $18::float8[],
                             $19::text[], $20::text[], $21::bool[], $22::text[], $23::bool[])
            AS g (attempt_id, message_id, fence, opened, provider_id, provider_kind, provider_name, outcome, code,
                  response, dispatched_ms, latency_ms, next_state, wait_s, waiting_for, provider_message_id, next_round,
                  last_error, reached)
        ORDER BY message_id
    ),
    held AS MATERIALIZED (
        SELECT g.*, m.workspace_id, m.attempt_count, m.round, m.lease_expires_at,
               known.there,
               known.there AND (g.next_state NOT IN ('scheduled', 'leased', 'uncertain')
                                OR NOT {SOME_LEFT.format("g.message_id")}) AS proven
        FROM given g CROSS JOIN LATERAL (
            SELECT m.workspace_id, m.attempt_count, m.round, m.lease_expires_at, m.resends FROM messages m
            WHERE m.id = g.message_id AND m.fence = g.fence AND m.leased_by = $1
              AND m.state = CASE WHEN g.opened THEN 'sending' ELSE 'leased' END
            FOR UPDATE
        ) m CROSS JOIN LATERAL (
            SELECT m.resends > 0 AND coalesce((
                SELECT t.evidence IS NOT NULL FROM attempts t
                WHERE t.message_id = g.message_id AND t.outcome = 'uncertain' ORDER BY t.number DESC LIMIT 1
            ), false) AS there
        ) known
    ),
    closed AS (
        UPDATE attempts t
        SET outcome = held.outcome, {_CLOSED},
            evidence = CASE held.outcome WHEN 'uncertain' THEN t.evidence END,
            evidence_at = CASE held.outcome WHEN 'uncertain' THEN t.evidence_at END
        FROM held, clock
        WHERE held.opened AND t.id = held.attempt_id AND t.outcome IS NULL
        RETURNING held.*
    ),
    noted AS (  -- tries that ended before anything could leave, and so were never begun
        INSERT INTO attempts (id, workspace_id, message_id, number, round, fence, worker_id, provider_id, provider_kind,
                              provider_name, started_at, finished_at, outcome, code, response, latency_ms)
        SELECT attempt_id, workspace_id, message_id, attempt_count + 1, round, fence, $1, provider_id, provider_kind,
               provider_name, clock.now - latency_ms * interval '1 millisecond', clock.now, outcome, code, response,
               latency_ms
        FROM held, clock
        WHERE NOT opened
        ON CONFLICT (id) DO NOTHING
        RETURNING id
    ),
    done AS MATERIALIZED (
        SELECT * FROM closed UNION ALL SELECT held.* FROM held JOIN noted ON noted.id = held.attempt_id
    ),
    doubted AS (
        UPDATE message_recipients r SET code = 'uncertain' FROM done g
        WHERE g.next_state = 'uncertain' AND r.message_id = g.message_id AND r.state = 'deferred'
    ),
    moved AS (
        UPDATE messages m
        SET state = CASE WHEN g.proven THEN 'sent'
                         WHEN m.cancel_at IS NULL OR g.next_state NOT IN ('scheduled', 'leased') THEN g.next_state
                         WHEN m.resends > 0 AND NOT g.there THEN 'parked'
                         WHEN g.reached OR g.there THEN 'sent' ELSE 'canceled' END,
            version = m.version + 1,
            attempt_count = m.attempt_count + CASE WHEN g.opened THEN 0 ELSE 1 END,
            provider_id = g.provider_id,
            provider_message_id = coalesce(g.provider_message_id, m.provider_message_id),
            sent_at = CASE WHEN g.next_state = 'sent' OR g.reached OR g.there THEN coalesce(m.sent_at, clock.now) END,
            last_error = CASE WHEN NOT g.proven THEN g.last_error END,
            round = m.round + CASE WHEN g.next_round THEN 1 ELSE 0 END,
            waiting_for = CASE WHEN g.proven THEN NULL
                               WHEN g.next_state = 'scheduled' AND m.cancel_at IS NULL THEN g.waiting_for
                               WHEN g.next_state = 'uncertain' THEN 'evidence' END,
            next_try_at = CASE g.next_state
                WHEN 'scheduled' THEN least(clock.now + g.wait_s * interval '1 second', m.expires_at)
                WHEN 'uncertain' THEN {_DOUBT_UNTIL}
                ELSE m.next_try_at END,
            leased_by = CASE WHEN g.next_state = 'leased' AND m.cancel_at IS NULL AND NOT g.proven
                             THEN m.leased_by END,
            lease_expires_at = CASE WHEN g.next_state = 'leased' AND m.cancel_at IS NULL AND NOT g.proven
                                    THEN clock.now + $2 * interval '1 second' END
        FROM done g, clock
        WHERE m.id = g.message_id
        RETURNING m.workspace_id, m.event_id
    ),
    marked AS (INSERT INTO event_dirty (workspace_id, event_id) SELECT DISTINCT workspace_id, event_id FROM moved)
    SELECT attempt_id AS id FROM done
"""  # noqa: S608

# The way nearly every try ends, as FINISH_OTHERWISE would write it: begun, accepted, sent. $1 worker, then one array a
# column. Answers as it does.
FINISH = f"""
    WITH {CLOCK},
    given AS MATERIALIZED (
        SELECT * FROM unnest($2::uuid[], $3::uuid[], $4::int8[], $5::uuid[], $6::text[], $7::text[], $8::int[],
                             $9::int[], $10::text[])
            AS g (attempt_id, message_id, fence, provider_id, code, response, dispatched_ms, latency_ms,
                  provider_message_id)
        ORDER BY message_id
    ),
    held AS MATERIALIZED (
        SELECT g.* FROM given g CROSS JOIN LATERAL (
            SELECT FROM messages m
            WHERE m.id = g.message_id AND m.fence = g.fence AND m.leased_by = $1 AND m.state || '' = 'sending'
            FOR UPDATE
        ) m
    ),
    closed AS (
        UPDATE attempts t
        SET outcome = 'accepted', {_CLOSED}, evidence = NULL, evidence_at = NULL
        FROM held, clock
        WHERE t.id = held.attempt_id AND t.outcome IS NULL
        RETURNING held.*
    ),
    moved AS (
        UPDATE messages m
        SET state = 'sent', version = m.version + 1, provider_id = g.provider_id,
            provider_message_id = coalesce(g.provider_message_id, m.provider_message_id),
            sent_at = coalesce(m.sent_at, clock.now), last_error = NULL, waiting_for = NULL, leased_by = NULL,
            lease_expires_at = NULL
        FROM closed g, clock
        WHERE m.id = g.message_id
        RETURNING m.workspace_id, m.event_id
    ),
    marked AS (INSERT INTO event_dirty (workspace_id, event_id) SELECT DISTINCT workspace_id, event_id FROM moved)
    SELECT attempt_id AS id FROM closed
"""  # noqa: S608

# Of these attempts those that an earlier try of either closed whose commit was not heard of. $1 uuid[] attempts,
# $2 text[] outcomes, $3 text[] codes.
FINISHED_BEFORE = """
    SELECT t.id FROM unnest($1::uuid[], $2::text[], $3::text[]) AS g (id, outcome, code) JOIN attempts t ON t.id = g.id
    WHERE t.finished_at IS NOT NULL AND t.outcome = g.outcome AND t.code = g.code
"""

CAPTURE = """
    INSERT INTO captured_mails
        (id, workspace_id, message_id, attempt_id, provider_id, sender, recipients, subject, content)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (id) DO NOTHING
"""

# What became of one recipient of a group; who has it, or was refused for good, stays so. Who was suppressed may have
# been taken off the list.
RECIPIENT = """
    INSERT INTO message_recipients AS r (message_id, address, workspace_id, role, state, code, response)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (message_id, address) DO UPDATE
    SET state = excluded.state, code = excluded.code, response = excluded.response
    WHERE r.state IN ('deferred', 'suppressed')
"""

# A late 250: the attempt was given up as uncertain, and now there is proof. $1 attempt, $2 message, $3 what was said,
# $4 the provider's id of it, $5 whether some of its group are to be tried again.
LATE_PROOF = f"""
    WITH {CLOCK},
    held AS MATERIALIZED (SELECT id FROM messages WHERE id = $2 FOR UPDATE),
    proven AS (
        UPDATE attempts t SET evidence = $3, evidence_at = clock.now FROM held, clock
        WHERE t.id = $1 AND t.message_id = held.id AND t.outcome = 'uncertain' AND t.evidence IS NULL
        RETURNING t.provider_id
    ),
    moved AS (
        UPDATE messages m
        SET state = CASE WHEN $5 AND m.cancel_at IS NULL THEN 'scheduled' ELSE 'sent' END,
            resends = CASE WHEN $5 AND m.cancel_at IS NULL THEN m.resends ELSE 0 END,
            next_try_at = clock.now, sent_at = coalesce(m.sent_at, clock.now), last_error = NULL,
            waiting_for = NULL, leased_by = NULL, lease_expires_at = NULL, fence = m.fence + 1,
            version = m.version + 1, provider_id = proven.provider_id,
            provider_message_id = coalesce($4, m.provider_message_id)
        FROM proven, clock
        WHERE m.id = $2
          AND (m.state IN ('uncertain', 'parked') OR (m.state IN ('scheduled', 'leased') AND m.resends > 0))
        RETURNING m.workspace_id, m.event_id
    )
    INSERT INTO event_dirty (workspace_id, event_id) SELECT workspace_id, event_id FROM moved RETURNING event_id
"""  # noqa: S608

# Let go of what was not begun: it waits, or it ends without a try. $1 worker, then one array a column.
LET_GO = f"""
    WITH {CLOCK},
    given AS MATERIALIZED (
        SELECT * FROM unnest($2::uuid[], $3::int8[], $4::text[], $5::float8[], $6::text[], $7::text[], $8::bool[])
            AS g (message_id, fence, next_state, wait_s, waiting_for, last_error, next_round)
        ORDER BY message_id
    ),
    held AS MATERIALIZED (
        SELECT g.* FROM given g CROSS JOIN LATERAL (
            SELECT FROM messages m
            WHERE m.id = g.message_id AND m.fence = g.fence AND m.leased_by = $1 AND m.state || '' = 'leased'
            FOR UPDATE
        ) m
    ),
    moved AS (
        UPDATE messages m
        SET state = g.next_state, version = m.version + 1, leased_by = NULL, lease_expires_at = NULL,
            last_error = CASE g.next_state WHEN 'sent' THEN g.last_error ELSE coalesce(g.last_error, m.last_error) END,
            sent_at = CASE g.next_state WHEN 'sent' THEN coalesce(m.sent_at, clock.now) ELSE m.sent_at END,
            waiting_for = g.waiting_for,
            round = m.round + CASE WHEN g.next_round THEN 1 ELSE 0 END,
            next_try_at = CASE WHEN g.wait_s IS NULL THEN m.next_try_at
                               ELSE least(clock.now + g.wait_s * interval '1 second', m.expires_at) END,
            -- time in which no provider could take it does not count toward giving up
            put_off_at = CASE WHEN g.waiting_for IN ('circuit', 'rate', 'quota') THEN clock.now END
        FROM held g, clock
        WHERE m.id = g.message_id
        RETURNING m.id, m.workspace_id, m.event_id
    ),
    marked AS (INSERT INTO event_dirty (workspace_id, event_id) SELECT DISTINCT workspace_id, event_id FROM moved)
    SELECT id FROM moved
"""  # noqa: S608
