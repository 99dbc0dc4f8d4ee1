"""The SQL of feedback, named. A post is worked on with those of other workspaces; each row brings its own."""

# The providers behind addresses that are posted to. $1 uuid[] ids.
HOOKS = """
    SELECT id, workspace_id, kind, hook_token, config FROM providers WHERE id = ANY($1::uuid[]) AND deleted_at IS NULL
"""

# One array a column.
STORE = """
    INSERT INTO hook_posts (id, workspace_id, provider_id, kind, headers, body)
    SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::uuid[]), unnest($4::text[]), unnest($5::text[])::jsonb,
           unnest($6::bytea[])
"""

_POST = """p.id, p.workspace_id, p.provider_id, p.kind, p.headers, p.body, p.received_at, p.tries,
           coalesce(extract(epoch FROM clock_timestamp() - p.received_at)::float8, 0) AS age_s, v.name AS provider_name
    FROM {posts} p LEFT JOIN providers v ON v.id = p.provider_id"""

# The first that are due and that nobody else has: at most $1 of them, and no more once $2 octets are together. One that
# was tried $3 times is taken alone: it may be what ended those who tried. Each is put off at once, by $4 seconds twice
# as long with every try and $5 at most, so that whoever dies of one does not meet it first for ever.
TAKE = """
    WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
    picked AS MATERIALIZED (
        SELECT id, next_try_at, tries, octet_length(body) AS octets FROM hook_posts
        WHERE next_try_at <= (SELECT now FROM clock) ORDER BY next_try_at LIMIT $1 FOR UPDATE SKIP LOCKED
    ),
    measured AS (
        SELECT id, tries, sum(octets) OVER among - octets AS before, row_number() OVER among AS place,
               first_value(tries) OVER among AS first_tries
        FROM picked WINDOW among AS (ORDER BY next_try_at, id)
    )
    UPDATE hook_posts p
    SET tries = least(p.tries + 1, 30000),
        next_try_at = clock_timestamp() + least($4::float8 * 2 ^ least(p.tries, 20), $5::float8) * interval '1 second'
    WHERE p.id = ANY(ARRAY(
        SELECT id FROM measured WHERE before < $2 AND (place = 1 OR tries < $3 AND first_tries < $3)
    ))
    RETURNING p.id
"""

# In the transaction of the work: what is locked for longer is left for later.
WAIT_BRIEFLY = "SET LOCAL lock_timeout = '5s'"

# Those among $1 that nobody else has; `tries` counts the one that has begun.
TAKE_THESE = f"""
    SELECT {_POST.format(posts="hook_posts")} WHERE p.id = ANY($1::uuid[]) ORDER BY p.id FOR UPDATE OF p SKIP LOCKED
"""

DONE = "DELETE FROM hook_posts WHERE id = ANY($1::uuid[])"

# $1 uuid[] posts, $2 float8[] seconds, $3 text[] why.
PUT_OFF = """
    UPDATE hook_posts p SET next_try_at = clock_timestamp() + g.wait_s * interval '1 second', last_error = g.why
    FROM unnest($1::uuid[], $2::float8[], $3::text[]) AS g (id, wait_s, why)
    WHERE p.id = ANY($1) AND p.id = g.id
"""

# The newest messages to a recipient as it came or in lower case: one address may have had hundreds of thousands. Each
# spelling by itself, for only then are they read in the order of the index; BETWEEN, because with = another index has
# that order too, and all of the workspace's would be read through it.
_NEWEST = """
    (SELECT {columns} FROM messages m
     WHERE m.workspace_id = g.workspace_id AND m.recipient BETWEEN g.recipient AND g.recipient
     ORDER BY m.recipient DESC, m.id DESC LIMIT 1000)
    UNION ALL
    (SELECT {columns} FROM messages m
     WHERE g.lowered <> g.recipient AND m.workspace_id = g.workspace_id AND m.recipient BETWEEN g.lowered AND g.lowered
     ORDER BY m.recipient DESC, m.id DESC LIMIT 1000)
"""

# $1 uuid[] posts, $2 why.
NOTE = "UPDATE hook_posts SET last_error = $2 WHERE id = ANY($1::uuid[])"

# Which message each event is about: the one with Janus's own id, else the one to this recipient that the service knows
# by this id, among the newest 1,000. `n` is the event's place from 1. $1 uuid[] workspaces, $2 uuid[] Janus's ids, $3
# and $4 text[] recipients as they came and in lower case, $5 text[] the service's ids. `OFFSET 0` keeps the planner
# from looking twice.
FIND = f"""
    SELECT g.n::int, found.id
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY
             AS g (workspace_id, message_id, recipient, lowered, provider_message_id, n)
         CROSS JOIN LATERAL (
             SELECT coalesce(
                 (SELECT m.id FROM messages m WHERE m.id = g.message_id AND m.workspace_id = g.workspace_id),
                 (SELECT newest.id FROM ({_NEWEST.format(columns="m.id, m.provider_message_id")}) newest
                  WHERE newest.provider_message_id = g.provider_message_id ORDER BY newest.id DESC LIMIT 1)
             ) AS id OFFSET 0
         ) found
    WHERE found.id IS NOT NULL
"""  # noqa: S608

# Before anything else is locked, and in the order of their ids. $1 uuid[] messages.
LOCK = """
    SELECT m.id, m.recipient, m.state, e.group_recipients
    FROM messages m JOIN events e ON e.id = m.event_id WHERE m.id = ANY($1::uuid[]) ORDER BY m.id FOR UPDATE OF m
"""

# Which events may be about a mail whose provider has not told us its id yet, one of the newest as in FIND. $1 uuid[]
# workspaces, $2 uuid[] providers, $3 and $4 text[] recipients as in FIND.
OUTRUNS = f"""
    SELECT g.n::int
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]) WITH ORDINALITY
             AS g (workspace_id, provider_id, recipient, lowered, n)
         CROSS JOIN LATERAL (
             SELECT FROM ({_NEWEST.format(columns="m.provider_id, m.state, m.provider_message_id")}) newest
             WHERE newest.provider_id = g.provider_id AND newest.state IN ('sending', 'uncertain')
               AND newest.provider_message_id IS NULL
             LIMIT 1
         ) leaving
"""  # noqa: S608

# Each once, however often it is told. In the order of their keys, so that two of these never wait for one another in a
# ring. One array a column; answers which are new.
INSERT = """
    INSERT INTO feedback_events (id, workspace_id, provider_id, message_id, key, type, recipient, provider_message_id,
                                 reason, details, raw, occurred_at, received_at)
    SELECT id, workspace_id, provider_id, message_id, key, type, recipient, provider_message_id, reason, details::jsonb,
           raw::jsonb, occurred_at, received_at
    FROM (
        SELECT unnest($1::uuid[]) AS id, unnest($2::uuid[]) AS workspace_id, unnest($3::uuid[]) AS provider_id,
               unnest($4::uuid[]) AS message_id, unnest($5::text[]) AS key, unnest($6::text[]) AS type,
               unnest($7::text[]) AS recipient, unnest($8::text[]) AS provider_message_id,
               unnest($9::text[]) AS reason, unnest($10::text[]) AS details, unnest($11::text[]) AS raw,
               unnest($12::timestamptz[]) AS occurred_at, unnest($13::timestamptz[]) AS received_at
    ) AS event
    ON CONFLICT (provider_id, key) DO NOTHING
    RETURNING id
"""

# Their services do tell what becomes of mail; kept to the hour, as each change costs. $1 uuid[] providers.
HEARD = """
    UPDATE providers SET heard_at = clock_timestamp()
    WHERE id IN (
        SELECT id FROM providers
        WHERE id = ANY($1::uuid[]) AND (heard_at IS NULL OR heard_at < clock_timestamp() - interval '1 hour')
        ORDER BY id FOR NO KEY UPDATE
    )
"""
