"""Claiming and holding: who may send what, until when."""

from janus_mail.delivery.queries.clock import CLOCK, NOT_PAUSED, PAUSED_ONES

# Why an address is suppressed, for `last_error`: «hard bounce, told by SendGrid on 2026-11-21».
_WHY = """replace(s.reason, '_', ' ') || ', told by ' || left(s.source, 200)
           || to_char(s.since AT TIME ZONE 'UTC', '" on "YYYY-MM-DD')"""

# The LIMIT keeps it to one look into the index for each address, whatever the planner thinks of the list.
_ON_THE_LIST = """CROSS JOIN LATERAL (
            SELECT reason, source, since FROM suppressions
            WHERE workspace_id = {0}.workspace_id AND address = lower({0}.{1}) LIMIT 1
        ) s"""

_LEASE = f"""
    WITH {CLOCK}, {{picked}},
    listed AS MATERIALIZED (  -- of a group, each of it is looked up when it is read
        SELECT picked.id, {_WHY} AS why FROM picked {_ON_THE_LIST.format("picked", "recipient")}
        WHERE (SELECT send_as FROM events WHERE id = picked.event_id AND s.reason IS NOT NULL) = 'individual'
    ),
    moved AS (
        UPDATE messages m
        SET state = CASE WHEN (m.expires_at > clock.now OR m.expires_at IS NULL)
                              AND m.id <> ALL(ARRAY(SELECT id FROM listed)) THEN 'leased'
                         WHEN m.resends > 0 THEN 'parked'  -- it may have left: any other end would be a lie
                         WHEN m.sent_at IS NOT NULL THEN 'sent'  -- some of its group have it
                         WHEN m.id = ANY(ARRAY(SELECT id FROM listed)) THEN 'suppressed'
                         ELSE 'expired' END,
            last_error = coalesce(
                (SELECT CASE WHEN m.resends > 0 THEN 'it may have left; not sent again, as its address is suppressed: '
                             ELSE 'suppressed: ' END || why FROM listed WHERE listed.id = m.id), m.last_error),
            fence = m.fence + 1, version = m.version + 1, waiting_for = NULL,
            give_up_at = m.give_up_at + coalesce(clock.now - m.put_off_at, interval '0'), put_off_at = NULL,
            leased_by = $2, lease_expires_at = clock.now + $3 * interval '1 second'
        FROM clock WHERE m.id = ANY(ARRAY(SELECT id FROM picked))  -- a LIMIT's rows would be overestimated
        RETURNING m.*
    ),
    marked AS (
        INSERT INTO event_dirty (workspace_id, event_id)
        SELECT DISTINCT workspace_id, event_id FROM moved WHERE state <> 'leased'
    )
    SELECT m.id, m.workspace_id, m.event_id, m.recipient, m.recipient_name, m.variables, m.due_at, m.priority,
           m.give_up_at, m.expires_at, m.round, m.resends, m.attempt_count, m.fence, m.message_id_header, m.dated_at,
           m.sent_at IS NOT NULL AS reached,
           e.version AS event_version, clock.now AS claimed_at
    FROM moved m JOIN events e ON e.id = m.event_id, clock
    WHERE m.state = 'leased'
    ORDER BY m.priority, m.next_try_at
"""  # noqa: S608

# The first n by time, whoever's they are. $1 n, $2 worker, $3 lease in seconds.
CLAIM_BY_TIME = _LEASE.format(
    picked=f"""picked AS MATERIALIZED (
        SELECT m.id, m.workspace_id, m.event_id, m.recipient FROM messages m
        WHERE m.state = 'scheduled' AND m.next_try_at <= (SELECT now FROM clock) AND {NOT_PAUSED}
        ORDER BY m.next_try_at LIMIT $1
        FOR UPDATE SKIP LOCKED
    )"""  # noqa: S608
)

# So many of each lane. $1 int[] how many, $2 worker, $3 lease in seconds, $4 smallint[] priorities,
# $5 uuid[] workspaces.
CLAIM_BY_LANE = _LEASE.format(
    picked=f"""lanes AS (SELECT * FROM unnest($1::int[], $4::smallint[], $5::uuid[]) AS l (k, priority, workspace_id)),
    picked AS MATERIALIZED (
        SELECT lane.* FROM lanes CROSS JOIN LATERAL (
            SELECT m.id, m.workspace_id, m.event_id, m.recipient FROM messages m
            WHERE m.state = 'scheduled' AND m.priority = lanes.priority AND m.workspace_id = lanes.workspace_id
              AND (m.priority, m.workspace_id, m.next_try_at)
                  <= (lanes.priority, lanes.workspace_id, (SELECT now FROM clock))
            ORDER BY m.next_try_at, m.id LIMIT lanes.k
            FOR UPDATE SKIP LOCKED
        ) lane
        WHERE lanes.workspace_id <> {PAUSED_ONES}
    )"""  # noqa: S608
)

PAUSED = "SELECT id FROM workspaces WHERE paused_at IS NOT NULL"

# Every lane (priority, workspace) in which something is scheduled, by a loose index scan.
_LANE = """lane AS (
        (SELECT priority, workspace_id FROM messages WHERE state = 'scheduled' ORDER BY priority, workspace_id LIMIT 1)
        UNION ALL
        SELECT following.priority, following.workspace_id FROM lane CROSS JOIN LATERAL (
            SELECT m.priority, m.workspace_id FROM messages m
            WHERE m.state = 'scheduled' AND (m.priority, m.workspace_id) > (lane.priority, lane.workspace_id)
            ORDER BY m.priority, m.workspace_id LIMIT 1
        ) following
    )"""

# The lanes with something due; `due` counts up to $1.
LANES = f"""
    WITH RECURSIVE {CLOCK}, {_LANE}
    SELECT lane.priority, lane.workspace_id, counted.due FROM lane CROSS JOIN LATERAL (
        SELECT count(*)::int AS due FROM (
            SELECT FROM messages m
            WHERE m.state = 'scheduled' AND m.priority = lane.priority AND m.workspace_id = lane.workspace_id
              AND m.next_try_at <= (SELECT now FROM clock)
            LIMIT $1
        ) first_of_them
    ) counted
    WHERE counted.due > 0
    ORDER BY lane.priority, lane.workspace_id
"""  # noqa: S608

# Seconds until the next is due; null when nothing is scheduled, zero or less when something is due now.
NEXT_DUE = """
    SELECT extract(epoch FROM min(next_try_at) - clock_timestamp())::float8 FROM messages WHERE state = 'scheduled'
"""

# The same without the workspaces $1, lane by lane: what they have overdue is not waded through.
NEXT_DUE_WITHOUT = f"""
    WITH RECURSIVE {_LANE}
    SELECT extract(epoch FROM min(soonest.at) - clock_timestamp())::float8 FROM lane CROSS JOIN LATERAL (
        SELECT m.next_try_at AS at FROM messages m
        WHERE m.state = 'scheduled' AND m.priority = lane.priority AND m.workspace_id = lane.workspace_id
        ORDER BY m.next_try_at LIMIT 1
    ) soonest
    WHERE lane.workspace_id <> ALL($1::uuid[])
"""  # noqa: S608

CONTENT = """
    SELECT id, workspace_id, version, subject, text, html, from_email, from_name, reply_to, headers, attachments, tags,
           metadata, send_as, group_recipients, recipients_count, provider_id, failover, created_at
    FROM events WHERE id = ANY($1::uuid[])
"""

# Of a group: who needs no further try.
RESOLVED = """
    SELECT message_id, address FROM message_recipients
    WHERE message_id = ANY($1::uuid[]) AND state IN ('sent', 'failed')
"""

# Who of these groups must not be mailed, and why. $1 uuid[] messages, $2 uuid[] workspaces, $3 text[] addresses.
SUPPRESSED = f"""
    SELECT g.message_id, g.address, {_WHY} AS why
    FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS g (message_id, workspace_id, address)
         {_ON_THE_LIST.format("g", "address")}
"""  # noqa: S608

HISTORY = """
    SELECT t.message_id, t.provider_id, t.round, t.outcome, t.code,
           coalesce(t.started_at < m.retried_at, false) AS stale
    FROM attempts t JOIN messages m ON m.id = t.message_id
    WHERE t.message_id = ANY($1::uuid[]) ORDER BY t.message_id, t.number
"""

# $1 worker, $2 lease in seconds, $3 uuid[] messages, $4 int8[] fences. Answers those that are still ours.
RENEW = f"""
    WITH {CLOCK},
    held AS MATERIALIZED (
        SELECT m.id FROM messages m JOIN unnest($3::uuid[], $4::int8[]) AS mine (id, fence) ON mine.id = m.id
        WHERE m.fence = mine.fence AND m.leased_by = $1 AND m.state IN ('leased', 'sending')
        ORDER BY m.id FOR UPDATE OF m
    )
    UPDATE messages m SET lease_expires_at = clock.now + $2 * interval '1 second'
    FROM held, clock WHERE m.id = held.id
    RETURNING m.id
"""  # noqa: S608

# A worker that is known to be dead holds nothing any more. $1 worker.
END_LEASES = f"""
    WITH {CLOCK},
    held AS MATERIALIZED (
        SELECT id FROM messages WHERE state IN ('leased', 'sending') AND leased_by = $1 ORDER BY id FOR UPDATE
    )
    UPDATE messages m SET lease_expires_at = clock.now FROM held, clock WHERE m.id = held.id
"""  # noqa: S608
