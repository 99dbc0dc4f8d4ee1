"""Retention: what is final and old goes, an event with all that belongs to it. Ids sort by time (UUIDv7)."""

from janus_mail.delivery.queries.clock import CLOCK
from janus_mail.models.states import FINAL, State

# Parked ones wait for a person, however long.
_REMOVABLE = ", ".join(repr(state.value) for state in FINAL if state is not State.PARKED)

# Old: no message's state changed for so long (the roll-up notes it). $2 days where the workspace says none; with
# neither nothing grows old. One that is hidden already is being removed. Its status is only a hint, for the messages
# themselves are asked before anything is removed.
_OLD = """
    (e.deleted_at IS NOT NULL
     OR e.status NOT IN ('pending', 'sending', 'parked')
        AND e.updated_at < clock.now - coalesce(w.retention_days, $2::int) * interval '1 day')
"""

# The fewest days that anybody keeps mail; null where nobody removes any. $1 the server's days.
FEWEST_DAYS = "SELECT least($1::int, (SELECT min(retention_days) FROM workspaces))"

# The next $3 events after $1, up to those too young to be old under $4 days; which of them may go, and how many
# messages they have. An id's first 48 bits are milliseconds.
LOOK = f"""
    WITH {CLOCK}
    SELECT e.id, coalesce({_OLD}, false) AS old,
           CASE e.send_as WHEN 'group' THEN 1 ELSE e.recipients_count END AS messages
    FROM events e JOIN workspaces w ON w.id = e.workspace_id, clock
    WHERE e.id > $1 AND e.id < (SELECT rpad(lpad(to_hex(
        (extract(epoch FROM now - $4::int * interval '1 day') * 1000)::bigint), 12, '0'), 32, '0')::uuid FROM clock)
    ORDER BY e.id LIMIT $3
"""  # noqa: S608

# Nobody retries them while we look: who does holds the event. $1 uuid[] events.
HOLD = f"""
    WITH {CLOCK}
    SELECT e.id FROM events e JOIN workspaces w ON w.id = e.workspace_id, clock
    WHERE e.id = ANY($1::uuid[]) AND {_OLD} ORDER BY e.id FOR UPDATE OF e SKIP LOCKED
"""  # noqa: S608

# From here on no list and no request finds them. A statement of its own after HOLD: its snapshot must be younger than
# the locks. $1 uuid[] events.
HIDE = f"""
    UPDATE events e SET deleted_at = coalesce(deleted_at, clock_timestamp())
    WHERE id = ANY($1::uuid[])
      AND NOT EXISTS (SELECT FROM messages m WHERE m.event_id = e.id AND m.state NOT IN ({_REMOVABLE}))
    RETURNING id, workspace_id
"""  # noqa: S608

# With their attempts, recipients and captured mails. $1 uuid[] hidden events, $2 at most so many.
REMOVE_MESSAGES = f"""
    WITH gone AS (
        DELETE FROM messages WHERE id = ANY(ARRAY(
            SELECT id FROM messages WHERE event_id = ANY($1::uuid[]) AND state IN ({_REMOVABLE})
            LIMIT $2 FOR UPDATE SKIP LOCKED
        )) RETURNING id
    )
    SELECT count(*)::int FROM gone
"""  # noqa: S608

# Feedback that fits no message, which nothing else would ever take away. $1 days where the workspace says none, $2 at
# most so many, $3 the fewest days of anybody, which the index is asked for.
REMOVE_UNMATCHED = f"""
    WITH {CLOCK},
    gone AS (
        DELETE FROM feedback_events WHERE id = ANY(ARRAY(
            SELECT f.id FROM feedback_events f JOIN workspaces w ON w.id = f.workspace_id
            WHERE f.message_id IS NULL
              AND f.received_at < (SELECT now FROM clock) - $3::int * interval '1 day'
              AND f.received_at < (SELECT now FROM clock) - coalesce(w.retention_days, $1::int) * interval '1 day'
            ORDER BY f.received_at LIMIT $2 FOR UPDATE OF f SKIP LOCKED
        )) RETURNING id
    )
    SELECT count(*)::int FROM gone
"""  # noqa: S608

# $1 uuid[] hidden events.
REMOVE_EVENTS = """
    DELETE FROM events WHERE id IN (
        SELECT id FROM events e
        WHERE id = ANY($1::uuid[]) AND NOT EXISTS (SELECT FROM messages m WHERE m.event_id = e.id)
        ORDER BY id FOR UPDATE SKIP LOCKED
    )
"""
