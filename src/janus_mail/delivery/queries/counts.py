"""The roll-up: an event's counts are the sum of its messages' states, at most a second later."""

# Up to $1 marks that no other roll-up has.
TAKE_DIRTY = """
    DELETE FROM event_dirty WHERE id = ANY(ARRAY(
        SELECT id FROM event_dirty ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
    )) RETURNING event_id
"""

# All marks of the events $1; waits for a roll-up that has some, so that its counts are written when this returns.
TAKE_DIRTY_OF = """
    DELETE FROM event_dirty WHERE id IN (
        SELECT id FROM event_dirty WHERE event_id = ANY($1::uuid[]) ORDER BY id FOR UPDATE
    ) RETURNING event_id
"""

# NO KEY: accepting a message of the event (a foreign key) need not wait.
LOCK_EVENTS = "SELECT id, workspace_id FROM events WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE"

COUNT_STATES = """
    SELECT event_id, state, count(*)::int AS many, min(sent_at) AS first_sent_at,
           (array_agg(last_error ORDER BY id DESC) FILTER (WHERE last_error IS NOT NULL))[1] AS last_error,
           coalesce(sum(attempt_count), 0)::int AS attempts
    FROM messages WHERE event_id = ANY($1::uuid[]) GROUP BY event_id, state
"""

WRITE_COUNTS = """
    UPDATE events e
    SET status = r.status, counts = r.counts, exactly_sent_at = r.exactly_sent_at, error_message = r.error_message,
        updated_at = clock_timestamp()
    FROM unnest($1::uuid[], $2::text[], $3::jsonb[], $4::timestamptz[], $5::text[])
        AS r (id, status, counts, exactly_sent_at, error_message)
    WHERE e.id = r.id
"""
