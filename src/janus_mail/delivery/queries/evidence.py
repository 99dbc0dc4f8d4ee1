"""What comes back from providers: how far a mail has come, and proof that a mail in doubt was taken."""

from janus_mail.delivery.queries.clock import CLOCK
from janus_mail.models.states import DELIVERY_ORDER

_ORDER = f"ARRAY[{', '.join(repr(kind.value) for kind in DELIVERY_ORDER)}]"

# Its own attempts hold proof, or their provider told something of it: then nobody need guess. Not as EXISTS, for which
# the planner may read all attempts.
PROVEN = """coalesce((
        SELECT true FROM attempts t
        WHERE t.message_id = m.id AND t.outcome = 'uncertain' AND (t.evidence IS NOT NULL OR EXISTS (
            SELECT FROM feedback_events f
            WHERE f.message_id = m.id AND f.provider_id = t.provider_id AND f.type <> 'unknown'))
        LIMIT 1
    ), false)"""


def doubt_until(lease_end: str, grace_s: str, evidence_s: str, *, message: str, provider: str) -> str:
    """When to resolve what has become uncertain: after the grace; later where the provider tells what becomes of its
    mail; at once where it has told already. Beside a `clock`."""
    soonest = f"{lease_end} + {grace_s} * interval '1 second'"
    return f"""CASE
        WHEN EXISTS (SELECT FROM feedback_events f
                     WHERE f.message_id = {message} AND f.provider_id = {provider} AND f.type <> 'unknown')
        THEN clock.now
        WHEN EXISTS (SELECT FROM providers p
                     WHERE p.id = {provider} AND p.heard_at > clock.now - interval '7 days')
        THEN greatest({soonest}, clock.now + {evidence_s} * interval '1 second')
        ELSE {soonest} END"""  # noqa: S608


# Only ever forward. $1 uuid[] messages, $2 text[] types.
REACHED = f"""
    WITH told AS (
        SELECT message_id, max(array_position({_ORDER}, type)) AS place
        FROM unnest($1::uuid[], $2::text[]) AS t (message_id, type) GROUP BY message_id
    ),
    held AS MATERIALIZED (
        SELECT m.id, told.place FROM messages m JOIN told ON told.message_id = m.id
        WHERE coalesce(array_position({_ORDER}, m.delivery_status), 0) < told.place
        ORDER BY m.id FOR UPDATE OF m
    )
    UPDATE messages m SET delivery_status = ({_ORDER})[held.place] FROM held WHERE m.id = held.id
"""  # noqa: S608

# The same for recipients of groups; one that no server has answered for yet was taken, or nothing could come back.
# $1 uuid[] messages, $2 text[] addresses, $3 uuid[] workspaces, $4 text[] roles, $5 text[] types, $6 text[] what was
# said.
REACHED_RECIPIENT = f"""
    INSERT INTO message_recipients AS r
        (message_id, address, workspace_id, role, state, code, response, delivery_status)
    SELECT DISTINCT ON (message_id, address) message_id, address, workspace_id, role, 'sent', type, said, type
    FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[])
        AS t (message_id, address, workspace_id, role, type, said)
    ORDER BY message_id, address, array_position({_ORDER}, type) DESC
    ON CONFLICT (message_id, address) DO UPDATE SET delivery_status = excluded.delivery_status
    WHERE coalesce(array_position({_ORDER}, r.delivery_status), 0) < array_position({_ORDER}, excluded.delivery_status)
"""  # noqa: S608

# As LATE_PROOF, for many: the last uncertain try there has evidence from now on, and a mail in doubt is sent. One that
# is being sent once more is left to that. Of a group whose others were put off, these are tried again.
# $1 uuid[] messages, $2 uuid[] providers, $3 text[] what was said.
PROVE = f"""
    WITH {CLOCK},
    told AS (
        SELECT DISTINCT ON (message_id, provider_id) message_id, provider_id, said
        FROM unnest($1::uuid[], $2::uuid[], $3::text[]) WITH ORDINALITY AS t (message_id, provider_id, said, n)
        ORDER BY message_id, provider_id, n
    ),
    held AS MATERIALIZED (SELECT id FROM messages WHERE id = ANY($1) ORDER BY id FOR UPDATE),
    doubted AS MATERIALIZED (
        SELECT DISTINCT ON (held.id) t.id, held.id AS message_id, told.provider_id, told.said,
               least(coalesce(t.dispatched_at, t.started_at), clock.now) AS left_at
        FROM clock CROSS JOIN held JOIN told ON told.message_id = held.id
             CROSS JOIN LATERAL (
                 SELECT id, number, dispatched_at, started_at FROM attempts
                 WHERE message_id = held.id AND provider_id = told.provider_id AND outcome = 'uncertain'
                 ORDER BY number DESC LIMIT 1
             ) t
        ORDER BY held.id, t.number DESC
    ),
    proven AS (
        UPDATE attempts t SET evidence = doubted.said, evidence_at = clock.now FROM doubted, clock
        WHERE t.id = doubted.id AND t.evidence IS NULL
    ),
    moved AS (
        UPDATE messages m
        SET state = CASE WHEN m.cancel_at IS NULL AND EXISTS (
                        SELECT FROM message_recipients r WHERE r.message_id = m.id AND r.state = 'deferred')
                    THEN 'scheduled' ELSE 'sent' END,
            resends = 0, next_try_at = clock.now, sent_at = coalesce(m.sent_at, doubted.left_at), last_error = NULL,
            waiting_for = NULL, leased_by = NULL, lease_expires_at = NULL, fence = m.fence + 1,
            version = m.version + 1, provider_id = doubted.provider_id
        FROM doubted, clock
        WHERE m.id = doubted.message_id
          AND (m.state IN ('uncertain', 'parked') OR (m.state IN ('scheduled', 'leased') AND m.resends > 0))
        RETURNING m.id, m.workspace_id, m.event_id, m.state, m.priority,
                  extract(epoch FROM m.sent_at - m.due_at)::float8 AS lateness_s
    ),
    marked AS (INSERT INTO event_dirty (workspace_id, event_id) SELECT DISTINCT workspace_id, event_id FROM moved)
    SELECT id, state, priority, lateness_s FROM moved
"""  # noqa: S608

# Of a group that was taken, those whom no server has answered for were taken with it. $1 uuid[] messages.
TAKEN_WITH_IT = """
    INSERT INTO message_recipients (message_id, address, workspace_id, role, state, code, response)
    SELECT m.id, mailbox.value->>'email', m.workspace_id, part.role, 'sent', 'evidence', ''
    FROM messages m JOIN events e ON e.id = m.event_id
         CROSS JOIN LATERAL jsonb_each(e.group_recipients) AS part (role, mailboxes)
         CROSS JOIN LATERAL jsonb_array_elements(part.mailboxes) AS mailbox (value)
    WHERE m.id = ANY($1::uuid[])
    ORDER BY 1, 2
    ON CONFLICT (message_id, address) DO NOTHING
"""

# In doubt, due to be resolved, and there is proof: that came before the doubt did. $1 at most so many.
DUE_AND_PROVEN = f"""
    WITH {CLOCK},
    due AS MATERIALIZED (
        SELECT m.id FROM messages m
        WHERE m.state = 'uncertain' AND m.next_try_at <= (SELECT now FROM clock) AND {PROVEN}
        ORDER BY m.next_try_at LIMIT $1
        FOR UPDATE OF m SKIP LOCKED
    )
    SELECT due.id AS message_id, proof.provider_id, proof.said FROM due CROSS JOIN LATERAL (
        SELECT t.provider_id, coalesce(t.evidence, 'feedback: ' || told.type) AS said
        FROM attempts t LEFT JOIN LATERAL (
            SELECT f.type FROM feedback_events f
            WHERE f.message_id = due.id AND f.provider_id = t.provider_id AND f.type <> 'unknown'
            ORDER BY f.occurred_at LIMIT 1
        ) told ON true
        WHERE t.message_id = due.id AND t.outcome = 'uncertain' AND (t.evidence IS NOT NULL OR told.type IS NOT NULL)
        ORDER BY t.number DESC LIMIT 1
    ) proof
"""  # noqa: S608
