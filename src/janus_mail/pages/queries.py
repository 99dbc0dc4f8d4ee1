"""What only pages ask of the database. All of it reads, but for the emptying of the mailbox."""

from collections.abc import Iterable, Sequence

from janus_mail.events.queries import event_conditions
from janus_mail.models.states import WaitingFor

# Each reason by itself, so that one with many hides no other; the reason in the text, for the index of what waits.
_HELD = ", ".join(
    f"""(SELECT count(*)::int FROM (
            SELECT FROM messages
            WHERE workspace_id = $1 AND state = 'scheduled' AND waiting_for = '{reason.value}'
              AND due_at <= (SELECT now FROM clock) LIMIT $4
        ) AS counted) AS {reason.value}"""  # noqa: S608
    for reason in (WaitingFor.CIRCUIT, WaitingFor.QUOTA, WaitingFor.RATE, WaitingFor.RETRY)
)

# $1 workspace, $2 seconds after which a worker counts as gone, $3 seconds after which mail is overdue, $4 counted up to
PULSE = f"""
    WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
    crew AS (
        SELECT count(*) FILTER (WHERE seen_at > clock.now - $2 * interval '1 second')::int AS alive,
               extract(epoch FROM (SELECT now FROM clock) - max(seen_at))::float8 AS seen_s
        FROM workers, clock
    ),
    late AS (
        SELECT count(*)::int AS overdue FROM (
            SELECT FROM messages
            WHERE state = 'scheduled' AND next_try_at < (SELECT now - $3 * interval '1 second' FROM clock)
              AND workspace_id = $1 LIMIT $4
        ) AS counted
    ),
    held AS (SELECT {_HELD}),
    mailbox AS (
        SELECT count(*)::int AS caught FROM (SELECT FROM captured_mails WHERE workspace_id = $1 LIMIT $4) AS counted
    ),
    undecided AS (
        SELECT count(*)::int AS parked FROM (
            SELECT FROM messages WHERE workspace_id = $1 AND state = 'parked' LIMIT $4
        ) AS counted
    )
    SELECT alive, greatest(seen_s, 0) AS seen_s, overdue, circuit, quota, rate, retry, caught, parked,
           (SELECT paused_at FROM workspaces WHERE id = $1) AS paused_at,
           EXISTS (SELECT FROM events WHERE workspace_id = $1 AND deleted_at IS NULL) AS any_events
    FROM crew, late, held, mailbox, undecided
"""  # noqa: S608

# The mailbox, newest first. $1 workspace, $2 older than this one or null, $3 at most so many
CAUGHT = """
    SELECT id, subject, recipients, captured_at FROM captured_mails
    WHERE workspace_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
"""

# The nearest newer ones, oldest first. $1 workspace, $2 newer than this one, $3 at most so many
CAUGHT_BEFORE = "SELECT id FROM captured_mails WHERE workspace_id = $1 AND id > $2 ORDER BY id LIMIT $3"

# $1 workspace, $2 mail
CAUGHT_MAIL = """
    SELECT c.id, c.subject, c.sender, c.recipients, octet_length(c.content) AS octets, c.captured_at, c.provider_id,
           p.name AS provider_name, p.kind AS provider_kind, m.event_id, c.message_id
    FROM captured_mails c
    LEFT JOIN messages m ON m.id = c.message_id
    LEFT JOIN providers p ON p.id = c.provider_id
    WHERE c.workspace_id = $1 AND c.id = $2
"""

# Its bytes. $1 workspace, $2 mail
CAUGHT_CONTENT = "SELECT content FROM captured_mails WHERE workspace_id = $1 AND id = $2"

# $1 workspace, $2 up to this one: what was caught while the question was open stays
EMPTY_MAILBOX = """
    WITH gone AS (DELETE FROM captured_mails WHERE workspace_id = $1 AND id <= $2 RETURNING id)
    SELECT count(*)::int FROM gone
"""

# $1 workspace, $2 up to this one
COUNT_CAUGHT = "SELECT count(*)::int FROM captured_mails WHERE workspace_id = $1 AND id <= $2"

# What nobody knows about, newest first, with its last try. $1 workspace, $2 older than this one or null, $3 at most so
# many
PARKED = """
    SELECT m.id, m.event_id, m.recipient, m.last_error, e.subject, e.recipients_count, e.send_as,
           t.provider_name, t.started_at, t.outcome, t.code, t.response
    FROM messages m
    JOIN events e ON e.id = m.event_id
    LEFT JOIN LATERAL (
        SELECT provider_name, started_at, outcome, code, response FROM attempts
        WHERE message_id = m.id AND workspace_id = $1 ORDER BY number DESC LIMIT 1
    ) t ON true
    WHERE m.workspace_id = $1 AND m.state = 'parked' AND ($2::uuid IS NULL OR m.id < $2)
    ORDER BY m.id DESC LIMIT $3
"""

# The nearest newer ones, oldest first. $1 workspace, $2 newer than this one, $3 at most so many
PARKED_BEFORE = """
    SELECT id FROM messages WHERE workspace_id = $1 AND state = 'parked' AND id > $2 ORDER BY id LIMIT $3
"""

_ROW = """e.id, e.subject, e.tags, e.first_recipients, e.recipients_count, e.send_as, e.expected_sent_at, e.status,
    e.counts, e.provider_id, e.failover, e.from_email, e.error_message, e.exactly_sent_at, e.created_by"""


def list_events(filters: Iterable[str]) -> str:
    """Without their contents, the newest $2 events of workspace $1 that pass the filters, whose values are $3, $4, …"""
    return f"""
        SELECT {_ROW} FROM events e WHERE e.workspace_id = $1 AND e.deleted_at IS NULL {event_conditions(filters)}
        ORDER BY e.id DESC LIMIT $2
    """  # noqa: S608


def events_not_over(filters: Iterable[str]) -> str:
    """The newest $2 events that pass and of which something may not have left."""
    return f"""
        SELECT e.id, e.subject, e.recipients_count FROM events e
        WHERE e.workspace_id = $1 AND e.deleted_at IS NULL AND e.status IN ('pending', 'sending')
          {event_conditions(filters)}
        ORDER BY e.id DESC LIMIT $2
    """  # noqa: S608


def newer_events(filters: Sequence[str]) -> str:
    """The ids of the oldest $2 events that pass and are newer than the last value's."""
    return f"""
        SELECT e.id FROM events e WHERE e.workspace_id = $1 AND e.deleted_at IS NULL {event_conditions(filters)}
          AND e.id > ${len(filters) + 3} ORDER BY e.id LIMIT $2
    """  # noqa: S608


# Which providers the events' messages were last tried at, the most used first. $1 workspace, $2 events, $3 looked at
THROUGH = """
    SELECT tried.event_id, p.name, p.id
    FROM (
        SELECT e.id AS event_id, m.provider_id, count(*) AS many
        FROM unnest($2::uuid[]) AS e (id) CROSS JOIN LATERAL (
            SELECT provider_id FROM messages WHERE event_id = e.id AND provider_id IS NOT NULL LIMIT $3
        ) m
        GROUP BY e.id, m.provider_id
    ) tried
    JOIN providers p ON p.id = tried.provider_id AND p.workspace_id = $1
    ORDER BY tried.event_id, tried.many DESC, p.position
"""

# What waits of events whose messages all seem to: the last of each are looked at. `plain`: nothing keeps it back.
# $1 workspace, $2 events, $3 looked at
WAITING = """
    SELECT e.id AS event_id, min(m.next_try_at) AS next_try_at,
           (array_agg(m.waiting_for ORDER BY m.next_try_at))[1] AS waiting_for,
           count(*) FILTER (WHERE m.waiting_for IS NULL)::int AS plain, bool_and(m.resends > 0) AS second_copies
    FROM unnest($2::uuid[]) AS e (id) CROSS JOIN LATERAL (
        SELECT state, waiting_for, next_try_at, resends FROM messages
        WHERE event_id = e.id AND workspace_id = $1 ORDER BY id DESC LIMIT $3
    ) m
    WHERE m.state = 'scheduled'
    GROUP BY e.id
"""

# Those of events that are a test of a provider, which stands as the worker. $1 workspace, $2 events
TESTS = """
    SELECT e.id FROM unnest($2::uuid[]) AS e (id)
    CROSS JOIN LATERAL (SELECT id FROM messages WHERE event_id = e.id AND workspace_id = $1 LIMIT 1) m
    WHERE EXISTS (SELECT FROM attempts WHERE message_id = m.id AND workspace_id = $1 AND worker_id = provider_id)
"""

# Of groups' one mail, for how many of its recipients it was refused or put off. $1 workspace, $2 events
LACKING = """
    SELECT e.id AS event_id, count(*)::int AS lacking
    FROM unnest($2::uuid[]) AS e (id)
    CROSS JOIN LATERAL (SELECT id FROM messages WHERE event_id = e.id AND workspace_id = $1 LIMIT 1) m
    JOIN message_recipients r ON r.message_id = m.id AND r.workspace_id = $1
    WHERE r.state <> 'sent'
    GROUP BY e.id
"""

# The providers that may have the first of what a second copy may follow; `many` of these wait already.
# $1 workspace, $2 event
SECOND_COPIES = """
    SELECT t.provider_id, min(t.provider_name) AS provider_name,
           (count(*) FILTER (WHERE m.state <> 'uncertain'))::int AS many
    FROM messages m CROSS JOIN LATERAL (
        SELECT provider_id, provider_name FROM attempts
        WHERE message_id = m.id AND workspace_id = $1 AND outcome = 'uncertain' ORDER BY number DESC LIMIT 1
    ) t
    WHERE m.workspace_id = $1 AND m.event_id = $2
      AND (m.state = 'uncertain' OR (m.state IN ('scheduled', 'leased') AND m.resends > 0))
    GROUP BY t.provider_id ORDER BY many DESC
"""

# Not those of our own limits, for which nobody was asked: theirs are words, those of services begin with three digits.
_ASKED = "NOT (outcome = 'policy_rejected' AND dispatched_at IS NULL AND coalesce(code, '000') !~ '^[0-9]{3}')"

_MESSAGE = f"""
    SELECT m.id, m.recipient, m.recipient_name, m.state, m.due_at, m.next_try_at, m.waiting_for,
           m.attempt_count - (
               SELECT count(*)::int FROM attempts WHERE message_id = m.id AND finished_at IS NOT NULL AND NOT ({_ASKED})
           ) AS attempt_count, m.sent_at, m.last_error, m.resends, m.delivery_status, p.name AS provider_name,
           p.heard_at IS NOT NULL AS heard, (
               SELECT f.reason FROM feedback_events f WHERE f.message_id = m.id AND f.type = m.delivery_status
               ORDER BY f.occurred_at DESC LIMIT 1
           ) AS reason
    FROM messages m LEFT JOIN providers p ON p.id = m.provider_id AND p.workspace_id = m.workspace_id
    WHERE m.workspace_id = $1 AND m.event_id = $2
      AND ($3::text IS NULL OR strpos(lower(m.recipient), lower($3)) > 0) AND ($4::text IS NULL OR m.state = $4)
"""  # noqa: S608

# An event's messages in the order in which its recipients were given. $1 workspace, $2 event, $3 part of an address or
# null, $4 state or null, $5 message or null, $6 at most so many
MESSAGES_FROM = f"{_MESSAGE} AND ($5::uuid IS NULL OR m.id >= $5) ORDER BY m.id LIMIT $6"
MESSAGES_BEFORE = f"{_MESSAGE} AND m.id < $5 ORDER BY m.id DESC LIMIT $6"

# What the tries of an event met with. $1 workspace, $2 event
TRIES = """
    SELECT t.provider_name, t.outcome, min(t.code) AS code, min(left(t.response, 500)) AS response,
           count(*)::int AS many, min(t.started_at) AS first_at
    FROM messages m JOIN attempts t ON t.message_id = m.id
    WHERE m.workspace_id = $1 AND m.event_id = $2 AND t.finished_at IS NOT NULL
    GROUP BY t.provider_name, t.outcome ORDER BY first_at
"""
# How late the latest mail left, and how many wait for a time to come. $1 workspace, $2 event
PACE = """
    SELECT (SELECT provider_id FROM events WHERE workspace_id = $1 AND id = $2) AS provider_id,
           max(extract(epoch FROM sent_at - due_at)) FILTER (WHERE state = 'sent')::float8 AS latest_s,
           count(*) FILTER (WHERE state = 'scheduled' AND next_try_at > clock_timestamp() + interval '2 seconds')::int
               AS waiting,
           count(*) FILTER (WHERE state = 'scheduled' AND next_try_at <= clock_timestamp() + interval '2 seconds')::int
               AS soon
    FROM messages WHERE workspace_id = $1 AND event_id = $2
"""

# How far the sent mails of an event have come; null for those of which nothing came back. $1 workspace, $2 event
REPORTED = """
    SELECT delivery_status, count(*)::int AS many FROM messages
    WHERE workspace_id = $1 AND event_id = $2 AND state = 'sent' GROUP BY delivery_status
"""

# The mail to look at: the one that is named, else the event's first. $1 workspace, $2 event, $3 message or null
MAIL = """
    SELECT recipient, recipient_name, variables, message_id_header, dated_at, id, due_at FROM messages
    WHERE workspace_id = $1 AND event_id = $2 AND ($3::uuid IS NULL OR id = $3) ORDER BY id LIMIT 1
"""

# What each provider did, by hours since an instant; of test mails the provider stands as the worker, and they do not
# count. $1 workspace, $2 the instant, $3 outcomes that pass mail on, $4 outcomes that end it
HOURS = f"""
    SELECT provider_id, floor(extract(epoch FROM started_at - $2) / 3600)::int AS hour,
           count(*) FILTER (WHERE outcome = 'accepted')::int AS sent,
           count(*) FILTER (WHERE outcome = ANY($3::text[]))::int AS passed_on,
           count(*) FILTER (WHERE outcome = ANY($4::text[]))::int AS refused,
           count(*) FILTER (WHERE outcome = 'uncertain')::int AS uncertain
    FROM attempts
    WHERE workspace_id = $1 AND started_at >= $2 AND finished_at IS NOT NULL
      AND worker_id IS DISTINCT FROM provider_id AND {_ASKED}
    GROUP BY provider_id, hour
"""  # noqa: S608

# How long each provider takes to accept, how its last try ended, why it was last left out. $1 workspace, $2 since,
# $3 providers
LATELY = f"""
    SELECT p.id AS provider_id, took.median_ms, last.outcome, last.code, last.response, last.finished_at, opened.cause
    FROM unnest($3::uuid[]) AS p (id)
    LEFT JOIN LATERAL (
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms)::float8 AS median_ms FROM attempts
        WHERE workspace_id = $1 AND provider_id = p.id AND started_at >= $2 AND outcome = 'accepted'
          AND worker_id IS DISTINCT FROM provider_id
    ) took ON true
    LEFT JOIN LATERAL (
        SELECT outcome, code, left(response, 1000) AS response, finished_at FROM attempts
        WHERE workspace_id = $1 AND provider_id = p.id AND finished_at IS NOT NULL AND {_ASKED}
        ORDER BY started_at DESC LIMIT 1
    ) last ON true
    LEFT JOIN LATERAL (  -- why its circuit opened last
        SELECT cause FROM provider_incidents
        WHERE workspace_id = $1 AND provider_id = p.id AND sender_domain = '' AND state = 'open' AND cause <> 'probe'
        ORDER BY number DESC LIMIT 1
    ) opened ON true
"""  # noqa: S608

# Those of the route that cannot take mail now, with what holds them back. $1 workspace, $2 the providers of the route
HELD_BACK = """
    SELECT p.name, c.state, c.since, c.until, coalesce(u.used >= p.daily_quota, false) AS used_up
    FROM unnest($2::uuid[]) WITH ORDINALITY AS r (id, place)
    JOIN providers p ON p.id = r.id AND p.workspace_id = $1
    LEFT JOIN circuits c ON c.provider_id = p.id AND c.sender_domain = '' AND c.state <> 'closed'
    LEFT JOIN provider_usage u ON u.provider_id = p.id AND u.day = (clock_timestamp() AT TIME ZONE 'UTC')::date
    WHERE c.state IS NOT NULL OR u.used >= p.daily_quota
    ORDER BY r.place
"""

# How those of the route stand, with why each was left out. $1 workspace, $2 the providers of the route
STANDING = """
    SELECT p.id, p.name, c.since, c.reason, opened.cause,
           c.state IS NOT NULL OR coalesce(u.used >= p.daily_quota, false) AS held
    FROM unnest($2::uuid[]) WITH ORDINALITY AS r (id, place)
    JOIN providers p ON p.id = r.id AND p.workspace_id = $1
    LEFT JOIN circuits c ON c.provider_id = p.id AND c.sender_domain = '' AND c.state <> 'closed'
    LEFT JOIN provider_usage u ON u.provider_id = p.id AND u.day = (clock_timestamp() AT TIME ZONE 'UTC')::date
    LEFT JOIN LATERAL (
        SELECT cause FROM provider_incidents
        WHERE workspace_id = $1 AND provider_id = p.id AND sender_domain = '' AND state = 'open' AND cause <> 'probe'
        ORDER BY number DESC LIMIT 1
    ) opened ON true
    ORDER BY r.place
"""

# Those of the route that failed or refused us and are not back yet. $1 workspace.
IN_TROUBLE = """
    SELECT p.id, p.name, c.since, c.reason, opened.cause
    FROM circuits c
    JOIN providers p ON p.id = c.provider_id AND p.enabled AND p.deleted_at IS NULL
    CROSS JOIN LATERAL (
        SELECT cause FROM provider_incidents
        WHERE workspace_id = $1 AND provider_id = p.id AND sender_domain = '' AND state = 'open' AND cause <> 'probe'
        ORDER BY number DESC LIMIT 1
    ) opened
    WHERE c.workspace_id = $1 AND c.sender_domain = '' AND c.state <> 'closed' AND c.until IS NOT NULL
      AND opened.cause IN ('failures', 'broken')
    ORDER BY p.position, p.id LIMIT 5
"""

# What the API does not tell of a message, and where the sandbox keeps it. $1 workspace, $2 message
ASIDE = """
    SELECT m.resends, m.next_try_at, EXISTS (
        SELECT FROM suppressions s WHERE s.workspace_id = $1 AND s.address = lower(m.recipient)
    ) AS listed, (
        SELECT c.id FROM captured_mails c WHERE c.workspace_id = $1 AND c.message_id = $2 ORDER BY c.id DESC LIMIT 1
    ) AS caught
    FROM messages m WHERE m.workspace_id = $1 AND m.id = $2
"""

# To use an event again. $1 workspace, $2 event
RECIPIENTS = "SELECT recipient, recipient_name FROM messages WHERE workspace_id = $1 AND event_id = $2 ORDER BY id"

# Whose address somebody of a workspace reads, most likely. $1 workspace
OWN_SENDER = "SELECT from_email FROM workspaces WHERE id = $1"

# In which zone and language the workspace's pages are.
HOME = "SELECT timezone, language FROM workspaces WHERE id = $1"
