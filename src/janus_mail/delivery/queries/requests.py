"""What a caller or a person asks of messages that were accepted. $1 is the workspace, $2 the event or the events."""

from janus_mail.delivery.queries.clock import CLOCK

# Waits, and yet has begun: a resend may have left already, and of a group some have it.
_WAITS_BEGUN = "state IN ('scheduled', 'leased') AND (resends > 0 OR sent_at IS NOT NULL)"

# It is leaving, may have left, or has.
_BEGUN = f"(state IN ('sending', 'uncertain', 'sent', 'parked') OR ({_WAITS_BEGUN}))"

LOCK_MESSAGES = f"""
    SELECT count(*) FILTER (WHERE {_BEGUN})::int AS begun,
           count(*) FILTER (WHERE state IN ('scheduled', 'leased', 'failed', 'suppressed'))::int AS open
    FROM (
        SELECT state, resends, sent_at FROM messages WHERE workspace_id = $1 AND event_id = $2 ORDER BY id FOR UPDATE
    ) held
"""  # noqa: S608

_CANCELED = """
    moved AS (
        UPDATE messages m
        SET state = CASE WHEN m.resends > 0 THEN 'parked'  -- it may have left already
                         WHEN m.sent_at IS NOT NULL THEN 'sent'  -- some of its group have it
                         ELSE 'canceled' END,
            fence = m.fence + 1, version = m.version + 1, waiting_for = NULL, leased_by = NULL, lease_expires_at = NULL
        FROM held WHERE m.id = held.id
        RETURNING m.event_id, m.state
    )"""

# $2 uuid[] events.
CANCEL = f"""
    WITH held AS MATERIALIZED (
        SELECT id FROM messages
        WHERE workspace_id = $1 AND event_id = ANY($2::uuid[]) AND state IN ('scheduled', 'leased')
        ORDER BY id FOR UPDATE
    ),
    {_CANCELED},
    noted AS (  -- what is leaving cannot be called back, but where it is refused it is not tried again
        UPDATE messages SET cancel_at = clock_timestamp()
        WHERE id IN (
            SELECT id FROM messages
            WHERE workspace_id = $1 AND event_id = ANY($2::uuid[]) AND state IN ('sending', 'uncertain')
            ORDER BY id FOR UPDATE
        ) AND state IN ('sending', 'uncertain')
    ),
    marked AS (INSERT INTO event_dirty (workspace_id, event_id) SELECT DISTINCT $1::uuid, event_id FROM moved)
    SELECT count(*) FILTER (WHERE state = 'canceled')::int FROM moved
"""  # noqa: S608

# $2 uuid[] messages.
CANCEL_MESSAGES = f"""
    WITH held AS MATERIALIZED (
        SELECT id FROM messages
        WHERE workspace_id = $1 AND id = ANY($2::uuid[]) AND state IN ('scheduled', 'leased')
        ORDER BY id FOR UPDATE
    ),
    {_CANCELED},
    marked AS (INSERT INTO event_dirty (workspace_id, event_id) SELECT DISTINCT $1::uuid, event_id FROM moved)
    SELECT count(*) FILTER (WHERE state = 'canceled')::int FROM moved
"""  # noqa: S608

# What CANCEL would cancel, and what can no longer be called back. $2 uuid[] events.
CANCELABLE = f"""
    SELECT count(*) FILTER (WHERE state IN ('scheduled', 'leased') AND NOT {_BEGUN})::int AS canceled,
           count(*) FILTER (WHERE {_BEGUN})::int AS too_late
    FROM messages WHERE workspace_id = $1 AND event_id = ANY($2::uuid[])
"""  # noqa: S608

# $3 new due time or null, $4 new priority or null, $5 whether to set the expiry, $6 the expiry.
CHANGE = """
    WITH moved AS (
        UPDATE messages
        SET state = 'scheduled', fence = fence + 1, version = version + 1, leased_by = NULL, lease_expires_at = NULL,
            due_at = coalesce($3, due_at), priority = coalesce($4, priority),
            next_try_at = coalesce($3, next_try_at), waiting_for = CASE WHEN $3 IS NULL THEN waiting_for END,
            give_up_at = CASE WHEN $3::timestamptz IS NULL THEN give_up_at  -- greatest() would ignore the null
                              ELSE greatest($3, clock_timestamp()) + (give_up_at - due_at) END,
            expires_at = CASE WHEN $5 THEN $6 ELSE expires_at END
        WHERE workspace_id = $1 AND event_id = $2 AND state IN ('scheduled', 'leased')
        RETURNING id
    ),
    marked AS (INSERT INTO event_dirty (workspace_id, event_id) VALUES ($1, $2))
    SELECT count(*)::int FROM moved
"""

SEND_NOW = """
    WITH held AS MATERIALIZED (
        SELECT id FROM messages WHERE workspace_id = $1 AND event_id = $2 AND state = 'scheduled' ORDER BY id FOR UPDATE
    ),
    moved AS (
        UPDATE messages m
        SET due_at = least(due_at, clock_timestamp()), next_try_at = clock_timestamp(), waiting_for = NULL,
            give_up_at = least(due_at, clock_timestamp()) + (give_up_at - due_at),
            fence = m.fence + 1, version = m.version + 1
        FROM held WHERE m.id = held.id
        RETURNING m.id
    ),
    marked AS (INSERT INTO event_dirty (workspace_id, event_id) VALUES ($1, $2))
    SELECT count(*)::int FROM moved
"""

# What is suppressed still is suppressed again by the claim. $3 seconds until it is given up again.
RETRY = """
    WITH held AS MATERIALIZED (
        SELECT id FROM messages
        WHERE workspace_id = $1 AND event_id = $2 AND state IN ('failed', 'parked', 'suppressed')
        ORDER BY id FOR UPDATE
    ),
    moved AS (
        UPDATE messages m
        SET state = 'scheduled', next_try_at = clock_timestamp(), waiting_for = NULL, round = m.round + 1,
            resends = CASE WHEN m.state = 'parked' THEN 1 ELSE 0 END,  -- a parked one may have left: the resend rules
            cancel_at = NULL, put_off_at = NULL,
            retried_at = clock_timestamp(), give_up_at = clock_timestamp() + $3 * interval '1 second',
            expires_at = NULL,
            fence = m.fence + 1, version = m.version + 1
        FROM held WHERE m.id = held.id
        RETURNING m.id, m.resends
    ),
    reopened AS (  -- none of a failed group has it: all of them are asked once more
        UPDATE message_recipients r SET state = 'deferred'
        FROM moved WHERE r.message_id = moved.id AND moved.resends = 0 AND r.state = 'failed'
    ),
    marked AS (INSERT INTO event_dirty (workspace_id, event_id) VALUES ($1, $2))
    SELECT count(*)::int FROM moved
"""

# A person's word on a parked message. $2 message, $3 sent | scheduled | failed, $4 seconds until it is given up again.
SETTLE = """
    WITH moved AS (
        UPDATE messages
        SET state = CASE WHEN $3 = 'failed' AND sent_at IS NOT NULL THEN 'sent'  -- some of its group have it
                         ELSE $3 END,
            fence = fence + 1, version = version + 1, waiting_for = NULL, cancel_at = NULL, put_off_at = NULL,
            sent_at = CASE WHEN $3 = 'sent' THEN coalesce(sent_at, clock_timestamp()) ELSE sent_at END,
            last_error = CASE WHEN $3 = 'sent' THEN NULL ELSE last_error END,
            round = round + CASE WHEN $3 = 'scheduled' THEN 1 ELSE 0 END,
            retried_at = CASE WHEN $3 = 'scheduled' THEN clock_timestamp() ELSE retried_at END,
            resends = CASE WHEN $3 = 'scheduled' THEN 1 ELSE resends END,
            next_try_at = CASE WHEN $3 = 'scheduled' THEN clock_timestamp() ELSE next_try_at END,
            expires_at = CASE WHEN $3 = 'scheduled' THEN NULL ELSE expires_at END,
            give_up_at = CASE WHEN $3 = 'scheduled' THEN clock_timestamp() + $4 * interval '1 second'
                              ELSE give_up_at END
        WHERE workspace_id = $1 AND id = $2 AND state = 'parked'
        RETURNING workspace_id, event_id
    )
    INSERT INTO event_dirty (workspace_id, event_id) SELECT workspace_id, event_id FROM moved RETURNING event_id
"""

# A provider takes mail again: what waited for one need not wait any longer, but for what its recipient's server put
# off. What another holds is being seen to. $1 workspace, $2 at most so many.
TRY_WAITING_NOW = """
    WITH held AS MATERIALIZED (
        SELECT id FROM messages
        WHERE workspace_id = $1 AND state = 'scheduled' AND waiting_for IN ('circuit', 'retry', 'rate', 'quota')
          AND NOT (waiting_for = 'retry' AND coalesce(last_error, '') LIKE 'recipient_deferred:%')
        LIMIT $2 FOR UPDATE SKIP LOCKED
    ),
    moved AS (
        UPDATE messages m SET next_try_at = clock_timestamp(), waiting_for = NULL, version = m.version + 1
        WHERE m.id = ANY(ARRAY(SELECT id FROM held))  -- how many LIMIT lets through, a generic plan overestimates
        RETURNING m.workspace_id, m.event_id
    ),
    marked AS (INSERT INTO event_dirty (workspace_id, event_id) SELECT DISTINCT workspace_id, event_id FROM moved)
    SELECT count(*)::int FROM moved
"""

# Nothing is claimed from its commit on. $1 workspace.
PAUSE = """
    UPDATE workspaces SET paused_at = clock_timestamp(), updated_at = clock_timestamp()
    WHERE id = $1 AND paused_at IS NULL
"""

_TAKE_BACK = """
    WITH held AS MATERIALIZED (
        SELECT id FROM messages WHERE workspace_id = $1 AND state = 'leased' {} ORDER BY id FOR UPDATE
    ),
    moved AS (
        UPDATE messages m
        SET state = 'scheduled', fence = m.fence + 1, version = m.version + 1, leased_by = NULL, lease_expires_at = NULL
        FROM held WHERE m.id = held.id
        RETURNING m.event_id
    ),
    marked AS (INSERT INTO event_dirty (workspace_id, event_id) SELECT DISTINCT $1::uuid, event_id FROM moved)
    SELECT count(*)::int FROM moved
"""

# What is held and has not begun. $1 workspace.
TAKE_BACK = _TAKE_BACK.format("")

# The same of these alone. $1 workspace, $2 uuid[] messages.
TAKE_BACK_THESE = _TAKE_BACK.format("AND id = ANY($2::uuid[])")

# $1 workspace.
RESUME = """
    UPDATE workspaces SET paused_at = NULL, updated_at = clock_timestamp() WHERE id = $1 AND paused_at IS NOT NULL
"""

# A pause must not use up the time in which a message is retried: what has less than half of it left gets all of it
# again. The priorities lead into the index of lanes. $1 workspace, $2 seconds until a message is given up.
RENEW_PATIENCE = f"""
    WITH {CLOCK},
    held AS MATERIALIZED (
        SELECT m.id FROM messages m, clock
        WHERE m.workspace_id = $1 AND m.state = 'scheduled' AND m.priority IN (0, 1, 2) AND m.next_try_at <= clock.now
          AND m.give_up_at < clock.now + $2::float8 / 2 * interval '1 second'
        ORDER BY m.id FOR UPDATE OF m
    )
    UPDATE messages m SET give_up_at = clock.now + $2::float8 * interval '1 second'
    FROM held, clock WHERE m.id = held.id
"""  # noqa: S608

# How many wait for their time or their next try, are due, are leaving, and are uncertain. $1 workspace.
WAITING = f"""
    WITH {CLOCK}
    SELECT count(*)::int AS waiting, (count(*) FILTER (WHERE next_try_at <= clock.now))::int AS due,
           (SELECT count(*)::int FROM messages WHERE workspace_id = $1 AND state = 'leased') AS held,
           (SELECT count(*)::int FROM messages WHERE workspace_id = $1 AND state = 'sending') AS sending,
           (SELECT count(*)::int FROM messages WHERE workspace_id = $1 AND state = 'uncertain') AS uncertain
    FROM messages, clock WHERE workspace_id = $1 AND state = 'scheduled' AND priority IN (0, 1, 2)
"""  # noqa: S608
