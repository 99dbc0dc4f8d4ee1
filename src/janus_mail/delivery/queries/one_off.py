"""A mail that is sent at once, outside the queue."""

from janus_mail.delivery.queries.clock import CLOCK

# Whoever sends one holds it while it looks whether another is under way. $1 provider.
LOCK_PROVIDER = "SELECT FROM providers WHERE id = $1 FOR NO KEY UPDATE"

# An event of one message, leased from its first moment on: no worker ever sees it as due. When its lease ends with
# nothing begun, it has expired. The provider stands for the worker, so that one at a time is under way.
# $1 event, $2 workspace, $3 provider, $4 message, $5 lease in seconds, $6 subject, $7 text, $8 html, $9 from_email,
# $10 from_name, $11 recipient, $12 the provider's name, $13 who asked for it, $14 on_uncertain.
# Answers it as a claim does; nothing when another one is under way.
LEASE = f"""
    WITH {CLOCK},
    times AS MATERIALIZED (
        SELECT now, now + $5::float8 * interval '1 second' AS ends FROM clock
        WHERE NOT EXISTS (SELECT FROM messages
                          WHERE state IN ('leased', 'sending') AND leased_by = $3 AND lease_expires_at > clock.now)
    ),
    made AS (
        INSERT INTO events (id, workspace_id, subject, text, html, from_email, from_name, expected_sent_at, priority,
                            expires_at, first_recipients, recipients_count, provider, provider_id, failover,
                            on_uncertain, counts, created_by)
        SELECT $1, $2, $6, $7, $8, $9, $10, now, 0, ends,
               jsonb_build_array(jsonb_build_object('email', $11::text, 'name', NULL)), 1, $12, $3, false, $14,
               '{{"leased": 1}}', $13
        FROM times
        RETURNING version
    )
    INSERT INTO messages (id, workspace_id, event_id, recipient, state, due_at, next_try_at, priority,
                          expires_at, give_up_at, fence, leased_by, lease_expires_at)
    SELECT $4, $2, $1, $11, 'leased', now, now, 0, ends, ends, 1, $3, ends FROM times, made
    RETURNING id, workspace_id, event_id, recipient, recipient_name, variables, due_at, priority, give_up_at,
              expires_at, round, resends, attempt_count, fence, message_id_header, dated_at, false AS reached,
              1 AS event_version, due_at AS claimed_at
"""  # noqa: S608
