"""The SQL of events, named. Every statement keeps to one workspace, which is $1, but for those that accept: they serve
the requests of one moment, each row with its own."""

from collections.abc import Iterable, Mapping

from janus_mail.events.rows import EVENT_COLUMNS
from janus_mail.models.states import DELIVERY_ORDER, State

# What bears on accepting, a row a provider (one of nulls where there is none), the route's order.
FACTS = """
    SELECT w.id AS workspace_id, clock_timestamp() AS now, w.timezone, w.from_email, w.allowed_senders, w.on_uncertain,
           w.minute_quota, w.monthly_quota,
           EXISTS (SELECT FROM suppressions s WHERE s.workspace_id = w.id) AS suppresses,
           p.id AS provider_id, p.kind, p.name, p.enabled, p.sandbox, p.from_email AS provider_from_email
    FROM workspaces w LEFT JOIN providers p ON p.workspace_id = w.id AND p.deleted_at IS NULL
    WHERE w.id = ANY($1::uuid[])
    ORDER BY p.position, p.id
"""

# Events and all their messages in one round trip, so in one transaction. $2 seconds until a message is given up.
# `unnest` in the list of a SELECT hands on row by row; in FROM, and in a CTE, all the contents would be kept once more,
# on disk beyond `work_mem`.
_INSERT_EVENTS = """
    WITH stored AS (
        INSERT INTO events (
            workspace_id, id, subject, text, html, from_email, from_name, reply_to, headers, tags, metadata,{column}
            expected_sent_at, timezone, priority, expires_at, send_as, group_recipients, first_recipients,
            recipients_count, provider, provider_id, failover, on_uncertain, warnings, created_by, counts, created_at,
            updated_at)
        SELECT workspace_id, id, subject, text, html, from_email, from_name, reply_to::jsonb, headers::jsonb,
               ARRAY(SELECT jsonb_array_elements_text(tags::jsonb)), metadata::jsonb,{value} expected_sent_at, timezone,
               priority, expires_at, send_as, group_recipients::jsonb, first_recipients::jsonb, recipients_count,
               provider, provider_id, failover, on_uncertain,
               ARRAY(SELECT jsonb_array_elements_text(warnings::jsonb)), created_by, counts::jsonb, created_at,
               created_at
        FROM (
            SELECT unnest($1::uuid[]) AS workspace_id, unnest($3::uuid[]) AS id, unnest($4::text[]) AS subject,
                   unnest($5::text[]) AS text, unnest($6::text[]) AS html, unnest($7::text[]) AS from_email,
                   unnest($8::text[]) AS from_name, unnest($9::text[]) AS reply_to, unnest($10::text[]) AS headers,
                   unnest($11::text[]) AS tags, unnest($12::text[]) AS metadata,
                   unnest($13::timestamptz[]) AS expected_sent_at, unnest($14::text[]) AS timezone,
                   unnest($15::int[]) AS priority, unnest($16::timestamptz[]) AS expires_at,
                   unnest($17::text[]) AS send_as, unnest($18::text[]) AS group_recipients,
                   unnest($19::text[]) AS first_recipients, unnest($20::int[]) AS recipients_count,
                   unnest($21::text[]) AS provider, unnest($22::uuid[]) AS provider_id,
                   unnest($23::bool[]) AS failover, unnest($24::text[]) AS on_uncertain,
                   unnest($25::text[]) AS warnings, unnest($26::text[]) AS created_by, unnest($27::text[]) AS counts,
                   unnest($28::timestamptz[]) AS created_at{unnested}
        ) AS event
    )
    INSERT INTO messages (
        workspace_id, id, event_id, recipient, recipient_name, variables, due_at, next_try_at, priority, expires_at,
        give_up_at)
    SELECT e.workspace_id, m.id, m.event_id, m.recipient, m.recipient_name, m.variables::jsonb, e.due_at, e.due_at,
           e.priority, e.expires_at, e.due_at + $2 * interval '1 second'
    FROM unnest($30::uuid[], $31::uuid[], $32::text[], $33::text[], $34::text[])
             AS m (id, event_id, recipient, recipient_name, variables)
         JOIN unnest($1::uuid[], $3::uuid[], $15::int[], $16::timestamptz[], $29::timestamptz[])
             AS e (workspace_id, id, priority, expires_at, due_at) ON e.id = m.event_id
"""

INSERT_EVENTS = _INSERT_EVENTS.format(column="", value="", unnested="")

# The same where some carry files. $35 their attachments.
INSERT_EVENTS_WITH_FILES = _INSERT_EVENTS.format(
    column=" attachments,", value=" attachments::jsonb,", unnested=", unnest($35::text[]) AS attachments"
)

# A content that is there already is used anew: until the transaction ends its row is locked, and after it young, so
# that nobody removes it as unused (`delivery/queries/files.py`: a day old, and not locked). One that was used within
# the hour is young without a new `used_at`: a share of the lock keeps the remover out and lets others of its users in,
# where each update would wait for the last one's commit. $2 SHA-256, $3 octets, $4 content.
KEEP_FILE = """
    WITH young AS MATERIALIZED (
        SELECT FROM attachments
        WHERE workspace_id = $1 AND digest = $2 AND used_at > clock_timestamp() - interval '1 hour'
        FOR KEY SHARE
    )
    INSERT INTO attachments AS a (workspace_id, digest, size, content)
    SELECT $1, $2, $3::int, $4::bytea WHERE NOT EXISTS (SELECT FROM young)
    ON CONFLICT (workspace_id, digest) DO UPDATE SET used_at = clock_timestamp()
        WHERE a.used_at <= clock_timestamp() - interval '1 hour'  -- where not, its row is locked all the same
"""

# The file at place $3 (from 0) of event $2.
FILE = """
    SELECT f.filename, f.content_type, a.content
    FROM events e
         CROSS JOIN LATERAL jsonb_to_record(e.attachments -> $3::int)
             AS f (filename text, content_type text, digest text)
         JOIN attachments a ON a.workspace_id = $1 AND a.digest = decode(f.digest, 'hex')
    WHERE e.workspace_id = $1 AND e.id = $2 AND e.deleted_at IS NULL
"""

_COLUMNS = ", ".join(EVENT_COLUMNS)

EVENT = f"SELECT {_COLUMNS} FROM events WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL"  # noqa: S608

# For a change: the version must not change in between. Taken before the locks on messages, so that two changes never
# wait for one another in a ring.
LOCK_EVENT = EVENT + " FOR NO KEY UPDATE"
LOCK_EVENT_ONLY = "SELECT id FROM events WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE"

EVENT_EXISTS = "SELECT EXISTS (SELECT FROM events WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL)"

# The counts of this moment, for an answer that cannot wait for the roll-up.
STATES = """
    SELECT state, count(*)::int AS many, sum(attempt_count)::int AS attempts, min(sent_at) AS first_sent_at,
           (array_agg(last_error ORDER BY id DESC) FILTER (WHERE last_error IS NOT NULL))[1] AS last_error
    FROM messages WHERE workspace_id = $1 AND event_id = $2 GROUP BY state
"""

ALL_FINAL = """
    SELECT NOT EXISTS (
        SELECT FROM messages WHERE workspace_id = $1 AND event_id = $2
        AND state IN ('scheduled', 'leased', 'sending', 'uncertain'))
"""

UPDATE_EVENT = """
    UPDATE events
    SET subject = $3, text = $4, html = $5, from_email = $6, from_name = $7, reply_to = $8, headers = $9, tags = $10,
        metadata = $11, expected_sent_at = $12, timezone = $13, priority = $14, expires_at = $15, warnings = $16,
        attachments = $17,
        version = version + 1, updated_at = clock_timestamp()
    WHERE workspace_id = $1 AND id = $2
"""

# Sent before its time: that is its time now.
BRING_FORWARD = """
    UPDATE events SET expected_sent_at = clock_timestamp(), version = version + 1, updated_at = clock_timestamp()
    WHERE workspace_id = $1 AND id = $2 AND expected_sent_at > clock_timestamp()
"""

# Whose placeholders a changed text must be able to fill.
UNSENT_VARIABLES = """
    SELECT recipient, recipient_name, variables FROM messages
    WHERE workspace_id = $1 AND event_id = $2 AND state IN ('scheduled', 'leased', 'failed', 'suppressed') ORDER BY id
"""

ZONE = "SELECT timezone FROM workspaces WHERE id = $1"

COUNT_BY_STATUS = """
    SELECT status, count(*) AS many FROM events WHERE workspace_id = $1 AND deleted_at IS NULL GROUP BY status
"""

_MESSAGE = """
    SELECT m.id, m.event_id, m.recipient, m.recipient_name, m.state, m.due_at, m.next_try_at, m.waiting_for,
           m.attempt_count, m.provider_message_id, m.message_id_header, m.sent_at, m.last_error, m.delivery_status,
           p.id AS provider_id, p.kind AS provider_kind, p.name AS provider_name
    FROM messages m LEFT JOIN providers p ON p.id = m.provider_id AND p.workspace_id = m.workspace_id
    WHERE m.workspace_id = $1 AND """

MESSAGE = _MESSAGE + "m.id = $2"

ATTEMPTS = """
    SELECT number, provider_id, provider_kind, provider_name, started_at, dispatched_at, finished_at, latency_ms,
           outcome, code, response, evidence, evidence_at
    FROM attempts WHERE workspace_id = $1 AND message_id = $2 ORDER BY number
"""

_ON_ITS_WAY = f"array_position(ARRAY[{', '.join(repr(kind.value) for kind in DELIVERY_ORDER)}], f.type::text)"

# The last $3 things that came back, first first; of one second, in which services tell several, as a mail goes on its
# way. $2 message.
FEEDBACK = f"""
    SELECT f.* FROM (
        SELECT f.id, f.type, f.occurred_at AS at, f.recipient, f.reason, f.details, p.id AS provider_id,
               p.kind AS provider_kind, p.name AS provider_name
        FROM feedback_events f JOIN providers p ON p.id = f.provider_id
        WHERE f.workspace_id = $1 AND f.message_id = $2
        ORDER BY f.occurred_at DESC, {_ON_ITS_WAY} DESC, f.id DESC LIMIT $3
    ) f
    ORDER BY f.at, {_ON_ITS_WAY}, f.id
"""  # noqa: S608  (our own words alone)

# Everyone whom a group's mail goes to, in its order, with what servers said of each; nobody where it is no group's.
# $2 message.
RECIPIENTS = """
    SELECT mailbox.value->>'email' AS address, part.role, r.state, r.code, r.response, r.delivery_status
    FROM messages m JOIN events e ON e.id = m.event_id
         CROSS JOIN LATERAL jsonb_each(e.group_recipients) AS part (role, mailboxes)
         CROSS JOIN LATERAL jsonb_array_elements(part.mailboxes) WITH ORDINALITY AS mailbox (value, place)
         LEFT JOIN message_recipients r
             ON r.workspace_id = $1 AND r.message_id = m.id AND r.address = mailbox.value->>'email'
    WHERE m.workspace_id = $1 AND m.id = $2
    ORDER BY array_position(ARRAY['to', 'cc', 'bcc'], part.role), mailbox.place
"""

# A group's one message, and of how many recipients servers said what. $2 event.
REACHED = """
    SELECT m.state AS message, count(*) FILTER (WHERE r.state = 'sent')::int AS sent,
           count(*) FILTER (WHERE r.state = 'deferred')::int AS deferred,
           count(*) FILTER (WHERE r.state = 'failed')::int AS failed,
           count(*) FILTER (WHERE r.state = 'suppressed')::int AS suppressed
    FROM messages m LEFT JOIN message_recipients r ON r.workspace_id = $1 AND r.message_id = m.id
    WHERE m.workspace_id = $1 AND m.event_id = $2 GROUP BY m.id
"""

# What keeps a provider back at this moment, a row for each of its circuits that is not closed (one of nulls where none
# is); a row of nulls where there is no provider. `rested`: the next mail may try it again.
STANDING = """
    SELECT w.paused_at, p.id AS provider_id, coalesce(u.used, 0) AS used,
           (date_trunc('day', clock_timestamp() AT TIME ZONE 'UTC') + interval '1 day') AT TIME ZONE 'UTC' AS new_day,
           c.sender_domain, c.state, c.reason, c.until, c.until <= clock_timestamp() AS rested
    FROM workspaces w
         LEFT JOIN providers p ON p.workspace_id = w.id AND p.deleted_at IS NULL
         LEFT JOIN provider_usage u ON u.provider_id = p.id AND u.day = (clock_timestamp() AT TIME ZONE 'UTC')::date
         LEFT JOIN circuits c ON c.provider_id = p.id AND c.state <> 'closed'
    WHERE w.id = $1
    ORDER BY p.position, p.id, c.sender_domain
"""

NOW = "SELECT clock_timestamp()"

# The providers that a filter may mean by an id, a name or a kind; removed ones too, for what they once sent.
_PROVIDERS_NAMED = """
    SELECT id FROM providers
    WHERE workspace_id = $1 AND (id::text = lower({0}) OR lower(name) = lower({0}) OR kind = lower({0}))
"""

_EVENT_FILTERS = {
    "cursor": "e.id < {0}",
    "status": "e.status = {0}",
    "from_email": "e.from_email = {0}",
    "tag": "e.tags @> ARRAY[{0}]",
    "q": "to_tsvector('simple', e.subject) @@ plainto_tsquery('simple', {0})",
    "created_after": "e.created_at >= {0}",
    "created_before": "e.created_at < {0}",
    "expected_after": "e.expected_sent_at >= {0}",
    "expected_before": "e.expected_sent_at < {0}",
    "recipient": """e.id IN (
        SELECT event_id FROM messages WHERE workspace_id = $1 AND recipient = {0}
        UNION ALL
        SELECT id FROM events WHERE workspace_id = $1 AND group_recipients IS NOT NULL AND (
            group_recipients @> jsonb_build_object('to', jsonb_build_array(jsonb_build_object('email', {0})))
            OR group_recipients @> jsonb_build_object('cc', jsonb_build_array(jsonb_build_object('email', {0})))
            OR group_recipients @> jsonb_build_object('bcc', jsonb_build_array(jsonb_build_object('email', {0})))))""",
    "provider": f"""(lower(e.provider) = lower({{0}}) OR EXISTS (
        SELECT FROM messages m WHERE m.event_id = e.id AND m.provider_id IN ({_PROVIDERS_NAMED})))""",
}

# Of all that fit, those behind one event, and none that came after the question.
_BOUNDS = {"after": "e.id > {0}", "accepted_by": "e.created_at <= {0}"}

# The states in ix_messages_trouble.
_TROUBLE = (State.FAILED, State.PARKED, State.UNCERTAIN)

_MESSAGE_FILTERS = {
    "cursor": "m.id < {0}",
    "state": "m.state = {0}",
    "recipient": "m.recipient = {0}",
    "event_id": "m.event_id = {0}",
    "provider": f"m.provider_id IN ({_PROVIDERS_NAMED})",
}


def event_conditions(filters: Iterable[str]) -> str:
    """`AND …` on `events e` for each filter; the workspace is $1, their values are $3, $4, …"""
    return _conditions(_EVENT_FILTERS, filters)


def list_events(filters: Iterable[str], most_octets: int) -> str:
    """The newest $2 events that pass the filters, whose values are $3, $4, …; `found` counts them.

    Fewer are given where their contents are large: none comes after `most_octets`.
    """
    return f"""
        WITH page AS (
            SELECT {_COLUMNS} FROM events e
            WHERE e.workspace_id = $1 AND e.deleted_at IS NULL {event_conditions(filters)}
            ORDER BY e.id DESC LIMIT $2
        ),
        measured AS (
            SELECT *, count(*) OVER () AS found,
                   sum(octet_length(coalesce(text, '')) + octet_length(coalesce(html, ''))) OVER (
                       ORDER BY id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS octets_before
            FROM page
        )
        SELECT {_COLUMNS}, found FROM measured WHERE coalesce(octets_before, 0) <= {most_octets} ORDER BY id DESC
    """  # noqa: S608


def events_to_cancel(filters: Iterable[str], most_messages: int) -> str:
    """The oldest events, up to $2, that pass the filters (whose values are $3, $4, …) and are not over.

    Fewer are given where they have many messages: none comes after `most_messages`. A person who takes up again what
    was over has its status renewed in the same request, so the status is right here.
    """
    return f"""
        WITH batch AS (
            SELECT e.id, e.recipients_count FROM events e
            WHERE e.workspace_id = $1 AND e.deleted_at IS NULL AND e.status IN ('pending', 'sending')
              {_conditions(_EVENT_FILTERS | _BOUNDS, filters)}
            ORDER BY e.id LIMIT $2
        ),
        measured AS (SELECT id, sum(recipients_count) OVER (ORDER BY id) - recipients_count AS before FROM batch)
        SELECT id FROM measured WHERE before <= {most_messages} ORDER BY id
    """  # noqa: S608


def list_messages(filters: Mapping[str, object]) -> str:
    """The newest $2 messages that pass the filters, whose values are $3, $4, …

    A state of trouble is named once more, for the planner to see that the index of these states holds all of it.
    """
    trouble = "".join(f"AND m.state = '{state.value}'" for state in _TROUBLE if state == filters.get("state"))
    return f"{_MESSAGE} true {_conditions(_MESSAGE_FILTERS, filters)} {trouble} ORDER BY m.id DESC LIMIT $2"


def _conditions(known: dict[str, str], filters: Iterable[str]) -> str:
    return " ".join(f"AND {known[name].format(f'${number}')}" for number, name in enumerate(filters, 3))
