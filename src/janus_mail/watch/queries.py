"""The engine at a glance, over all workspaces: for whoever runs Janus, never for a caller.

Cheap however much is scheduled, waits or was sent: every part reads a partial index, skips from lane to lane and stops
counting at a bound, so the work grows with neither history nor backlog. `ORDER BY` names the columns of the index that
is meant, so that no statistics lead elsewhere.
"""

from janus_mail.delivery.queries.clock import CLOCK

# One row a (state, priority) with messages; `due` is the part of the scheduled whose time has come and that no worker
# has, `oldest_s` for how long the first of those counted has been due. What a paused workspace has is not due.
# $1 counts stop here; $2 lanes (workspaces with something scheduled) that are looked at for each priority.
LOAD = f"""
    WITH RECURSIVE {CLOCK},
    lane AS (
        SELECT first.*, 1 AS number FROM (VALUES (0), (1), (2)) AS p (priority) CROSS JOIN LATERAL (
            SELECT m.priority, m.workspace_id, m.next_try_at AS oldest_at FROM messages m
            WHERE m.state = 'scheduled' AND m.priority = p.priority
            ORDER BY m.priority, m.workspace_id, m.next_try_at, m.id LIMIT 1
        ) first
        UNION ALL
        SELECT following.*, lane.number + 1 FROM lane CROSS JOIN LATERAL (
            SELECT m.priority, m.workspace_id, m.next_try_at AS oldest_at FROM messages m
            WHERE m.state = 'scheduled' AND m.priority = lane.priority AND m.workspace_id > lane.workspace_id
            ORDER BY m.priority, m.workspace_id, m.next_try_at, m.id LIMIT 1
        ) following
        WHERE lane.number < $2
    ),
    due_lane AS MATERIALIZED (
        SELECT lane.* FROM lane JOIN workspaces w ON w.id = lane.workspace_id AND w.paused_at IS NULL
        WHERE lane.oldest_at <= (SELECT now FROM clock)
    ),
    troubled AS (
        (SELECT workspace_id, 1 AS number FROM messages WHERE state IN ('failed', 'parked', 'uncertain')
         ORDER BY workspace_id, state, id LIMIT 1)
        UNION ALL
        SELECT following.workspace_id, troubled.number + 1 FROM troubled CROSS JOIN LATERAL (
            SELECT m.workspace_id FROM messages m
            WHERE m.state IN ('failed', 'parked', 'uncertain') AND m.workspace_id > troubled.workspace_id
            ORDER BY m.workspace_id, m.state, m.id LIMIT 1
        ) following
        WHERE troubled.number < $2
    )
    SELECT 'due' AS state, p.priority, counted.many,
           extract(epoch FROM (SELECT now FROM clock) - least(oldest.at, counted.first_due_at))::float8 AS oldest_s
    FROM (VALUES (0), (1), (2)) AS p (priority)
    CROSS JOIN LATERAL (SELECT min(oldest_at) AS at FROM due_lane WHERE due_lane.priority = p.priority) oldest
    CROSS JOIN LATERAL (
        SELECT count(*)::int AS many, min(due_at) AS first_due_at FROM (
            SELECT waiting.due_at FROM due_lane CROSS JOIN LATERAL (
                SELECT m.due_at FROM messages m
                WHERE m.state = 'scheduled' AND m.priority = due_lane.priority
                  AND m.workspace_id = due_lane.workspace_id AND m.next_try_at <= (SELECT now FROM clock)
                ORDER BY m.priority, m.workspace_id, m.next_try_at, m.id LIMIT $1
            ) waiting
            WHERE due_lane.priority = p.priority LIMIT $1
        ) first_of_them
    ) counted
    WHERE counted.many > 0
    UNION ALL
    SELECT held.state, held.priority, count(*)::int, NULL FROM (
        SELECT state, priority FROM messages WHERE state IN ('leased', 'sending') ORDER BY lease_expires_at LIMIT $1
    ) held GROUP BY held.state, held.priority
    UNION ALL
    SELECT 'uncertain', doubtful.priority, count(*)::int, NULL FROM (
        SELECT priority FROM messages WHERE state = 'uncertain' ORDER BY next_try_at LIMIT $1
    ) doubtful GROUP BY doubtful.priority
    UNION ALL
    SELECT 'parked', parked.priority, count(*)::int, NULL FROM (
        SELECT m.priority FROM troubled CROSS JOIN LATERAL (
            SELECT priority FROM messages
            WHERE state = 'parked' AND state IN ('failed', 'parked', 'uncertain')  -- the index's own condition
              AND workspace_id = troubled.workspace_id
            ORDER BY workspace_id, state, id LIMIT $1
        ) m LIMIT $1
    ) parked GROUP BY parked.priority
"""  # noqa: S608

# What is due and was put off: one row a (reason, priority), with how many are not tried before some later time, and for
# how long the first of those looked at has been due. Without paused workspaces. $1 messages that are looked at for each
# reason; $2 lanes (a workspace and a reason). BETWEEN, because = would leave nothing to order by, and a bitmap would be
# made of all that waits.
WAITING = f"""
    WITH RECURSIVE {CLOCK},
    lane AS (
        (SELECT workspace_id, waiting_for, 1 AS number FROM messages
         WHERE state = 'scheduled' AND waiting_for IS NOT NULL ORDER BY workspace_id, waiting_for LIMIT 1)
        UNION ALL
        SELECT following.*, lane.number + 1 FROM lane CROSS JOIN LATERAL (
            SELECT m.workspace_id, m.waiting_for FROM messages m
            WHERE m.state = 'scheduled' AND m.waiting_for IS NOT NULL
              AND (m.workspace_id, m.waiting_for) > (lane.workspace_id, lane.waiting_for)
            ORDER BY m.workspace_id, m.waiting_for LIMIT 1
        ) following
        WHERE lane.number < $2
    ),
    going AS MATERIALIZED (
        SELECT lane.* FROM lane JOIN workspaces w ON w.id = lane.workspace_id AND w.paused_at IS NULL
    )
    SELECT reason.waiting_for, first_of_them.priority,
           (count(*) FILTER (WHERE first_of_them.next_try_at > clock.now))::int AS many,
           extract(epoch FROM clock.now - min(first_of_them.due_at))::float8 AS oldest_s
    FROM clock, (VALUES ('retry'), ('rate'), ('circuit'), ('quota')) AS reason (waiting_for)
    CROSS JOIN LATERAL (
        SELECT m.priority, m.due_at, m.next_try_at FROM going CROSS JOIN LATERAL (
            SELECT priority, due_at, next_try_at FROM messages
            WHERE state = 'scheduled' AND waiting_for IS NOT NULL  -- the index's own condition
              AND workspace_id = going.workspace_id AND waiting_for BETWEEN going.waiting_for AND going.waiting_for
            ORDER BY workspace_id, waiting_for LIMIT $1
        ) m
        WHERE going.waiting_for = reason.waiting_for LIMIT $1
    ) first_of_them
    GROUP BY reason.waiting_for, first_of_them.priority, clock.now
"""  # noqa: S608

# Every circuit that is or was open, of providers that are in use; one whose rest is over lets the next mail try.
# $1 at most so many, those that are not closed first.
CIRCUITS = f"""
    WITH {CLOCK}
    SELECT p.id AS provider_id, p.name AS provider, p.kind, coalesce(c.sender_domain, '') AS sender_domain,
           CASE WHEN c.state = 'open' AND c.until <= clock.now THEN 'half_open'
                ELSE coalesce(c.state, 'closed') END AS state,
           c.reason, c.since, c.until
    FROM clock, providers p LEFT JOIN circuits c ON c.provider_id = p.id
    WHERE p.enabled AND p.deleted_at IS NULL
    ORDER BY coalesce(c.state, 'closed') = 'closed', c.since DESC, p.id, c.sender_domain LIMIT $1
"""  # noqa: S608

# Providers in use whose quota of this day in UTC is used up. $1 at most so many.
USED_UP = f"""
    WITH {CLOCK}
    SELECT p.id AS provider_id, p.name AS provider, p.kind, p.daily_quota,
           ((clock.now AT TIME ZONE 'UTC')::date + 1)::timestamp AT TIME ZONE 'UTC' AS until
    FROM clock, providers p JOIN provider_usage u ON u.provider_id = p.id
    WHERE p.enabled AND p.deleted_at IS NULL AND p.daily_quota IS NOT NULL
      AND u.day = (clock.now AT TIME ZONE 'UTC')::date AND u.used >= p.daily_quota
    ORDER BY p.id LIMIT $1
"""  # noqa: S608

# $1 seconds after which a worker that was not seen counts as gone.
ALIVE = f"""
    WITH {CLOCK}
    SELECT clock.now AS at,
           (SELECT count(*)::int FROM workers WHERE seen_at > clock.now - $1 * interval '1 second') AS workers,
           (SELECT count(*)::int FROM workspaces WHERE paused_at IS NOT NULL) AS paused_workspaces
    FROM clock
"""  # noqa: S608

# What services posted and nobody has worked on yet: how many, counted up to $1, and for how long the first has waited.
# Ids sort by time.
POSTS = f"""
    WITH {CLOCK}
    SELECT (SELECT count(*)::int FROM (SELECT FROM hook_posts LIMIT $1) waiting) AS posts_waiting,
           coalesce((SELECT greatest(extract(epoch FROM clock.now - received_at), 0)::float8
                     FROM hook_posts ORDER BY id LIMIT 1), 0) AS oldest_post_s
    FROM clock
"""  # noqa: S608

# What was accepted in the last $1 seconds, a row a priority, of tries that took less than $2 seconds; counts up to $3
# of each provider's newest.
RATE = f"""
    WITH {CLOCK}
    SELECT m.priority, count(*)::int AS sent
    FROM providers p CROSS JOIN LATERAL (
        SELECT t.message_id, t.outcome, t.finished_at FROM attempts t
        WHERE t.workspace_id = p.workspace_id AND t.provider_id = p.id
          AND t.started_at > (SELECT now - ($1::float8 + $2) * interval '1 second' FROM clock)
        ORDER BY t.workspace_id, t.provider_id, t.started_at DESC LIMIT $3
    ) recent
    CROSS JOIN LATERAL (SELECT priority FROM messages WHERE id = recent.message_id LIMIT 1) m  -- by key, however many
    WHERE recent.outcome = 'accepted' AND recent.finished_at > (SELECT now - $1 * interval '1 second' FROM clock)
    GROUP BY m.priority
"""  # noqa: S608
