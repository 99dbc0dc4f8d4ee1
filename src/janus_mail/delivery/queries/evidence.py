"""What comes back from providers: how far a mail has come, and proof that a mail in doubt was taken."""

from janus_mail.delivery.queries.clock import CLOCK
from janus_mail.models.states import DELIVERY_ORDER

_ORDER = f"ARRAY[{', '.join(repr(kind.value) for kind in DELIVERY_ORDER)}]"

# Of a group: some are still to be tried.
SOME_LEFT = "EXISTS (SELECT FROM message_recipients r WHERE r.message_id = {0} AND r.state = 'deferred')"

# The try in doubt holds proof: the last uncertain one, or the one that it repeated where all were in both. Proof of an
# earlier one says nothing of those whom it left out. Not as EXISTS, for which the planner may read all attempts.
PROVEN = f"""coalesce((
        SELECT bool_or(t.evidence IS NOT NULL) FROM (
            SELECT evidence FROM attempts WHERE message_id = m.id AND outcome = 'uncertain'
            ORDER BY number DESC LIMIT CASE WHEN m.resends = 0 OR {SOME_LEFT.format("m.id")} THEN 1 ELSE 2 END
        ) t
    ), false)"""  # noqa: S608


def doubt_until(lease_end: str, grace_s: str, evidence_s: str, *, message: str, provider: str) -> str:
    """When to resolve what becomes uncertain: after the grace; later where the provider tells what becomes of its
    mail; at once where it has told while the try was open. Beside a `clock`."""
    soonest = f"{lease_end} + {grace_s} * interval '1 second'"
    return f"""CASE
        WHEN EXISTS (SELECT FROM attempts t
                     WHERE t.message_id = {message} AND t.outcome IS NULL AND t.evidence IS NOT NULL)
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

# The same for recipients of groups. Whom a service names it has, so that nobody tries them again. Where it is `hearsay`
# only the status of those who have been tried moves.
# $1 uuid[] messages, $2 text[] addresses, $3 uuid[] workspaces, $4 text[] roles, $5 text[] types, $6 text[] what was
# said, $7 bool[] whether it is hearsay.
REACHED_RECIPIENT = f"""
    INSERT INTO message_recipients AS r
        (message_id, address, workspace_id, role, state, code, response, delivery_status)
    SELECT DISTINCT ON (message_id, address) message_id, address, workspace_id, role,
           CASE WHEN bool_and(hearsay) OVER same THEN 'deferred' ELSE 'sent' END, type, said, type
    FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bool[])
        AS t (message_id, address, workspace_id, role, type, said, hearsay)
    WHERE NOT hearsay OR EXISTS (
        SELECT FROM message_recipients r WHERE r.message_id = t.message_id AND r.address = t.address)
    WINDOW same AS (PARTITION BY message_id, address)
    ORDER BY message_id, address, array_position({_ORDER}, type) DESC
    ON CONFLICT (message_id, address) DO UPDATE
    SET delivery_status = CASE
            WHEN coalesce(array_position({_ORDER}, r.delivery_status), 0)
                 < array_position({_ORDER}, excluded.delivery_status)
            THEN excluded.delivery_status ELSE r.delivery_status END,
        state = CASE r.state WHEN 'deferred' THEN excluded.state ELSE r.state END
"""  # noqa: S608

# Proof for the tries that it can be about: uncertain or still open, begun before the word came. Of a group only what is
# told of one who was not answered for before; where it names none of them, only if nobody was. To be run before
# REACHED_RECIPIENT. $1 uuid[] messages, $2 uuid[] providers, $3 text[] addresses, $4 timestamptz[] when it was
# received, $5 text[] what was said. Answers the messages of which there is something new.
NOTE = f"""
    WITH {CLOCK},
    told AS (
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[]) WITH ORDINALITY
            AS t (message_id, provider_id, address, received_at, said, n)
        WHERE NOT EXISTS (
            SELECT FROM message_recipients r
            WHERE r.message_id = t.message_id AND r.state IN ('sent', 'failed')
              AND (t.address IS NULL OR r.address = t.address))
    ),
    held AS MATERIALIZED (SELECT id FROM messages WHERE id = ANY($1) ORDER BY id FOR UPDATE),
    doubted AS MATERIALIZED (
        SELECT DISTINCT ON (t.id) t.id, told.said
        FROM held JOIN told ON told.message_id = held.id CROSS JOIN LATERAL (
            SELECT id, provider_id, started_at, evidence FROM attempts
            WHERE message_id = held.id AND (outcome = 'uncertain' OR outcome IS NULL)
            ORDER BY number DESC LIMIT 2
        ) t
        WHERE t.provider_id = told.provider_id AND t.started_at <= told.received_at AND t.evidence IS NULL
        ORDER BY t.id, told.n
    )
    UPDATE attempts t SET evidence = doubted.said, evidence_at = clock.now FROM doubted, clock
    WHERE t.id = doubted.id
    RETURNING t.message_id
"""  # noqa: S608

# Of a group whose last doubt is proven, those whom no server has answered for were taken with it. $1 uuid[] messages.
TAKEN_WITH_IT = """
    INSERT INTO message_recipients AS r (message_id, address, workspace_id, role, state, code, response)
    SELECT m.id, mailbox.value->>'email', m.workspace_id, max(part.role), 'sent', 'evidence', ''
    FROM messages m JOIN events e ON e.id = m.event_id
         CROSS JOIN LATERAL jsonb_each(e.group_recipients) AS part (role, mailboxes)
         CROSS JOIN LATERAL jsonb_array_elements(part.mailboxes) AS mailbox (value)
    WHERE m.id = ANY($1::uuid[]) AND (
        SELECT t.evidence IS NOT NULL FROM attempts t WHERE t.message_id = m.id AND t.outcome = 'uncertain'
        ORDER BY t.number DESC LIMIT 1)
    GROUP BY m.id, mailbox.value->>'email'
    ORDER BY 1, 2
    ON CONFLICT (message_id, address) DO UPDATE SET state = 'sent', code = 'evidence', response = ''
    WHERE r.state = 'deferred' AND r.code = 'uncertain'
"""

# As LATE_PROOF, for many: a mail in doubt that is proven is sent. One that is being sent once more is left to that. Of
# a group whose others were put off, these are tried again; that it was sent once more is not forgotten, or there would
# be no end of copies. $1 uuid[] messages.
SETTLE = f"""
    WITH {CLOCK},
    held AS MATERIALIZED (
        SELECT m.id, {SOME_LEFT.format("m.id")} AS some_left FROM messages m
        WHERE m.id = ANY($1::uuid[]) AND {PROVEN}
          AND (m.state IN ('uncertain', 'parked') OR (m.state IN ('scheduled', 'leased') AND m.resends > 0))
        ORDER BY m.id FOR UPDATE OF m
    ),
    doubted AS (
        SELECT held.*, t.provider_id, least(coalesce(t.dispatched_at, t.started_at), clock.now) AS left_at
        FROM clock CROSS JOIN held CROSS JOIN LATERAL (
            SELECT provider_id, dispatched_at, started_at FROM attempts
            WHERE message_id = held.id AND outcome = 'uncertain' AND evidence IS NOT NULL
            ORDER BY number DESC LIMIT 1
        ) t
    ),
    moved AS (
        UPDATE messages m
        SET state = CASE WHEN m.cancel_at IS NULL AND doubted.some_left THEN 'scheduled' ELSE 'sent' END,
            resends = CASE WHEN m.cancel_at IS NULL AND doubted.some_left THEN m.resends ELSE 0 END,
            next_try_at = clock.now, sent_at = coalesce(m.sent_at, doubted.left_at), last_error = NULL,
            waiting_for = NULL, leased_by = NULL, lease_expires_at = NULL, fence = m.fence + 1,
            version = m.version + 1, provider_id = doubted.provider_id
        FROM doubted, clock
        WHERE m.id = doubted.id
        RETURNING m.id, m.workspace_id, m.event_id, m.state, m.priority,
                  extract(epoch FROM m.sent_at - m.due_at)::float8 AS lateness_s
    ),
    marked AS (INSERT INTO event_dirty (workspace_id, event_id) SELECT DISTINCT workspace_id, event_id FROM moved)
    SELECT state, priority, lateness_s FROM moved
"""  # noqa: S608

# In doubt, due to be resolved, and there is proof: that came before the doubt did. $1 at most so many.
DUE_AND_PROVEN = f"""
    SELECT m.id FROM messages m
    WHERE m.state = 'uncertain' AND m.next_try_at <= (SELECT clock_timestamp()) AND {PROVEN}
    ORDER BY m.next_try_at LIMIT $1
    FOR UPDATE OF m SKIP LOCKED
"""  # noqa: S608
