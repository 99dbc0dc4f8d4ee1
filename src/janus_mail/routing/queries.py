"""The SQL of a workspace's providers, named. Changes run in one transaction that begins with LOCK_WORKSPACE."""

# Whoever changes a route holds its workspace's row: names and positions are decided one change at a time.
# NO KEY, because accepting an event refers to the row meanwhile. $1 workspace.
LOCK_WORKSPACE = "SELECT FROM workspaces WHERE id = $1 FOR NO KEY UPDATE"

# $1 id, $2 handle and name, $3 from_email, $4 from_name; a workspace that is there stays as it is.
MAKE_WORKSPACE = """
    INSERT INTO workspaces (id, handle, name, from_email, from_name) VALUES ($1, $2, $2, $3, $4)
    ON CONFLICT (handle) DO NOTHING"""

WORKSPACE_CALLED = "SELECT id FROM workspaces WHERE handle = $1"

# $1 workspace, $2 from_email, $3 from_name.
SET_MISSING_SENDER = """
    UPDATE workspaces SET from_email = $2, from_name = $3, updated_at = clock_timestamp()
    WHERE id = $1 AND from_email IS NULL AND allowed_senders IS NULL"""

# An open circuit whose time is over shows as half open: the next mail tries it. `by_hand`: only a person closes it.
_SHOWN = """
    SELECT p.id, p.kind, p.name, p.enabled, p.position, p.sandbox, p.sandbox_mode, p.sandbox_failure_rate, p.from_email,
           p.from_name, p.sender_domains, p.rate_per_second, p.daily_quota, p.config, p.from_environment, p.version,
           p.hook_token, p.heard_at, p.verification, p.created_at, p.updated_at, p.deleted_at,
           CASE WHEN c.state = 'open' AND c.until <= clock_timestamp() THEN 'half_open' ELSE c.state END
               AS circuit_state,
           c.since AS circuit_since, c.reason AS circuit_reason, c.until AS circuit_until,
           coalesce(c.state = 'open' AND c.until IS NULL, false) AS circuit_by_hand,
           blocked.blocked_sender_domains, coalesce(u.used, 0) AS used_today,
           ((clock_timestamp() AT TIME ZONE 'UTC')::date + 1)::timestamp AT TIME ZONE 'UTC' AS resets_at
    FROM providers p
         LEFT JOIN circuits c ON c.provider_id = p.id AND c.sender_domain = ''
         LEFT JOIN provider_usage u
             ON u.provider_id = p.id AND u.day = (clock_timestamp() AT TIME ZONE 'UTC')::date
         CROSS JOIN LATERAL (
             SELECT coalesce(
                 jsonb_agg(jsonb_build_object('domain', b.sender_domain, 'since', b.since, 'until', b.until,
                                              'reason', b.reason) ORDER BY b.sender_domain),
                 '[]') AS blocked_sender_domains
             FROM circuits b
             WHERE b.provider_id = p.id AND b.sender_domain <> '' AND b.state = 'open'
               AND (b.until IS NULL OR b.until > clock_timestamp())) blocked"""

# In the order of the route. $1 workspace, $2 the provider to begin behind (null: the top), $3 limit (null: none).
ROUTE = f"""{_SHOWN}
    WHERE p.workspace_id = $1 AND p.deleted_at IS NULL
      AND ($2::uuid IS NULL
           OR (p.position, p.id) > (SELECT position, id FROM providers WHERE workspace_id = $1 AND id = $2))
    ORDER BY p.position, p.id LIMIT $3"""  # noqa: S608

# $1 workspace, $2 provider.
PROVIDER = f"{_SHOWN} WHERE p.workspace_id = $1 AND p.id = $2 AND p.deleted_at IS NULL"

# What a change begins with: nobody seals the settings anew until it is over.
PROVIDER_TO_CHANGE = f"{PROVIDER} FOR NO KEY UPDATE OF p"

# The one row that MAIL_* settings ever made, removed or not; to change too. $1 workspace.
PROVIDER_FROM_ENVIRONMENT = f"{_SHOWN} WHERE p.workspace_id = $1 AND p.from_environment FOR NO KEY UPDATE OF p"

# Removed ones count too. $1 workspace.
HAS_PROVIDERS_OF_ITS_OWN = "SELECT EXISTS (SELECT FROM providers WHERE workspace_id = $1 AND NOT from_environment)"

# At the end of the route. $1 id, $2 workspace, $3 kind, $4 name, $5 sandbox, $6 config, $7 from_email, $8 from_name,
# $9 sender_domains, $10 rate_per_second, $11 daily_quota, $12 enabled, $13 from_environment.
INSERT_PROVIDER = """
    INSERT INTO providers (id, workspace_id, kind, name, sandbox, config, from_email, from_name, sender_domains,
                           rate_per_second, daily_quota, enabled, from_environment, position)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, coalesce(max(position), 0) + 1
    FROM providers WHERE workspace_id = $2 AND deleted_at IS NULL"""

# What a person may change. $1 workspace, $2 provider, $5 its sealed config (null: it stays as it is).
UPDATE_PROVIDER = """
    UPDATE providers
    SET name = $3, enabled = $4, config = coalesce($5, config), from_email = $6, from_name = $7, sender_domains = $8,
        rate_per_second = $9, daily_quota = $10, sandbox_mode = $11, sandbox_failure_rate = $12,
        verification = CASE WHEN coalesce($5, config) = config THEN verification END, version = version + 1,
        updated_at = clock_timestamp()
    WHERE workspace_id = $1 AND id = $2"""

# Without a quota nothing is counted, so when one is set, the tries that began today are counted now.
# $1 workspace, $2 provider.
COUNT_TODAY = """
    WITH today AS MATERIALIZED (SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date AS day)
    INSERT INTO provider_usage AS u (provider_id, day, workspace_id, used)
    SELECT $2, today.day, $1,
           (SELECT count(*) FROM attempts
            WHERE workspace_id = $1 AND provider_id = $2 AND started_at >= today.day::timestamp AT TIME ZONE 'UTC'
              AND (dispatched_at IS NOT NULL OR finished_at IS NULL))
    FROM today
    ON CONFLICT (provider_id, day) DO UPDATE SET used = greatest(u.used, excluded.used)"""

# What MAIL_* settings say; also puts a removed one back. $1 provider, $2 sealed config (null: it stays as it
# is), $3 from_email, $4 from_name.
KEEP_IN_STEP = """
    UPDATE providers
    SET config = coalesce($2, config), from_email = $3, from_name = $4,
        verification = CASE WHEN $2::bytea IS NULL THEN verification END, deleted_at = NULL, version = version + 1,
        updated_at = clock_timestamp()
    WHERE id = $1"""

# How the check of this config ended; nothing where there is another by now. $1 workspace, $2 provider, $3 config,
# $4 the answer (null: the service offers no way to ask).
KEEP_VERIFICATION = """
    UPDATE providers SET verification = $4::jsonb || jsonb_build_object('at', clock_timestamp())
    WHERE workspace_id = $1 AND id = $2 AND config = $3"""

# Another address for its hook, to which nothing has come yet. $1 workspace, $2 provider, $3 token.
RENEW_HOOK = """
    UPDATE providers
    SET hook_token = $3, heard_at = NULL, version = version + 1, updated_at = clock_timestamp()
    WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL"""

# Out of the route; the row stays for its attempts' sake, its secrets do not. $1 provider.
REMOVE_PROVIDER = """
    UPDATE providers
    SET deleted_at = clock_timestamp(), config = '', verification = NULL, version = version + 1,
        updated_at = clock_timestamp()
    WHERE id = $1"""

IN_ROUTE = "SELECT id, name FROM providers WHERE workspace_id = $1 AND deleted_at IS NULL ORDER BY position, id"

# $1 workspace, $2 provider.
IS_IN_ROUTE = "SELECT EXISTS (SELECT FROM providers WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL)"

# $1 workspace, $2 all its providers' ids, first to last.
PUT_IN_ORDER = """
    UPDATE providers p SET position = o.position, version = version + 1, updated_at = clock_timestamp()
    FROM unnest($2::uuid[]) WITH ORDINALITY AS o (id, position)
    WHERE p.workspace_id = $1 AND p.id = o.id AND p.position <> o.position"""

# An incident begins where a circuit opens that was closed.
_HEADS = """
    SELECT i.*, p.kind, p.name, p.position, p.sandbox, p.sender_domains, coalesce(p.from_email, w.from_email) AS sender
    FROM provider_incidents i JOIN providers p ON p.id = i.provider_id JOIN workspaces w ON w.id = i.workspace_id
    WHERE i.workspace_id = $1 AND i.state <> 'closed'
      AND NOT EXISTS (
          SELECT FROM provider_incidents b
          WHERE b.provider_id = i.provider_id AND b.sender_domain = i.sender_domain AND b.number = i.number - 1
            AND b.state <> 'closed')"""

# From `heads` to incidents, newest first: to their closing, with the last {changes} changes of each. What went instead
# through a provider behind it is what would have come to this one first: from senders that it is for, and not asking
# for the one that took it. OFFSET 0 keeps the planner from beginning with all events, of which it expects too few.
_TOLD = """
    SELECT h.id, nullif(h.sender_domain, '') AS sender_domain, h.at AS opened_at, closing.at AS closed_at, h.cause,
           h.reason, h.actor, course.probes, course.changes, others.instead,
           jsonb_build_object('id', h.provider_id, 'kind', h.kind, 'name', h.name) AS provider
    FROM heads h
         LEFT JOIN LATERAL (
             SELECT e.number, e.at FROM provider_incidents e
             WHERE e.provider_id = h.provider_id AND e.sender_domain = h.sender_domain AND e.number > h.number
               AND e.state = 'closed'
             ORDER BY e.number LIMIT 1) closing ON true
         CROSS JOIN LATERAL (
             SELECT count(*) FILTER (WHERE x.state = 'open' AND x.cause = 'probe') AS probes,
                    jsonb_agg(jsonb_build_object('state', x.state, 'cause', x.cause, 'reason', x.reason, 'actor',
                                                 x.actor, 'at', x.at, 'until', x.until) ORDER BY x.number)
                        FILTER (WHERE x.place <= {changes}) AS changes
             FROM (SELECT r.*, row_number() OVER (ORDER BY r.number DESC) AS place FROM provider_incidents r
                   WHERE r.provider_id = h.provider_id AND r.sender_domain = h.sender_domain AND r.number >= h.number
                     AND (closing.number IS NULL OR r.number <= closing.number)) x) course
         CROSS JOIN LATERAL (
             SELECT coalesce(
                 jsonb_agg(jsonb_build_object('provider', jsonb_build_object('id', o.id, 'kind', o.kind, 'name',
                                                                             o.name),
                                              'messages', took.messages) ORDER BY o.position, o.id)
                     FILTER (WHERE took.messages > 0),
                 '[]') AS instead
             FROM providers o CROSS JOIN LATERAL (
                 SELECT count(*) AS messages
                 FROM (SELECT DISTINCT a.message_id FROM attempts a
                       WHERE a.workspace_id = $1 AND a.provider_id = o.id AND a.outcome = 'accepted'
                         AND a.started_at >= h.at AND a.started_at < coalesce(closing.at, 'infinity')) went
                      CROSS JOIN LATERAL (
                          SELECT v.provider_id, lower(split_part(coalesce(v.from_email, h.sender), '@', -1)) AS domain
                          FROM messages m JOIN events v ON v.id = m.event_id WHERE m.id = went.message_id
                          OFFSET 0) wish
                 WHERE wish.provider_id IS DISTINCT FROM o.id AND h.sender_domain IN ('', wish.domain)
                   AND (h.sender_domains IS NULL OR wish.domain = ANY (h.sender_domains))) took
             WHERE o.workspace_id = $1 AND o.sandbox = h.sandbox
               AND (o.position, o.id) > (h.position, h.provider_id)) others
    ORDER BY h.at DESC, h.id DESC"""

# Incidents of a provider. $1 workspace, $2 provider, $3 the incident to begin behind (null: the newest), $4 limit, $5
# how many changes to show of each.
INCIDENTS = f"""
    WITH heads AS (
        {_HEADS} AND i.provider_id = $2
          AND ($3::uuid IS NULL
               OR (i.at, i.id) < (SELECT at, id FROM provider_incidents WHERE workspace_id = $1 AND id = $3))
        ORDER BY i.at DESC, i.id DESC LIMIT $4
    ){_TOLD.format(changes="$5")}"""  # noqa: S608

# Of the whole route: those that go on first, then the newest. $1 workspace, $2 limit, $3 as $5 above.
LATEST_INCIDENTS = f"""
    WITH heads AS (
        SELECT newest.* FROM providers r CROSS JOIN LATERAL (
            {_HEADS} AND i.provider_id = r.id ORDER BY i.at DESC, i.id DESC LIMIT $2
        ) newest
        WHERE r.workspace_id = $1 AND r.deleted_at IS NULL
        ORDER BY EXISTS (
            SELECT FROM provider_incidents c
            WHERE c.provider_id = newest.provider_id AND c.sender_domain = newest.sender_domain
              AND c.number > newest.number AND c.state = 'closed'), newest.at DESC LIMIT $2
    ){_TOLD.format(changes="$3")}"""  # noqa: S608

# The first of a kind that the route would use for mail which names no provider: as soon as there is a real one, a
# sandbox must not catch mail that is meant for the world. $1 workspace, $2 kind.
FIRST_OF_KIND = """
    SELECT p.id FROM providers p
    WHERE p.workspace_id = $1 AND p.kind = $2 AND p.enabled AND p.deleted_at IS NULL
      AND NOT (p.sandbox AND EXISTS (
          SELECT FROM providers r WHERE r.workspace_id = $1 AND NOT r.sandbox AND r.deleted_at IS NULL))
    ORDER BY p.position, p.id LIMIT 1"""

# What bears on a test mail. $1 workspace.
TEST_FACTS = "SELECT name, from_email, allowed_senders, paused_at IS NOT NULL AS paused FROM workspaces WHERE id = $1"

# A test mail with its one try, for which the provider stood as the worker. $1 workspace, $2 message.
TESTED = """
    SELECT m.id AS message_id, m.event_id, m.recipient AS to, e.from_email, m.message_id_header, m.state,
           m.provider_message_id, t.provider_id, t.provider_kind, t.provider_name, t.started_at, t.dispatched_at,
           t.finished_at, t.latency_ms, t.outcome, t.code, t.response
    FROM messages m JOIN events e ON e.id = m.event_id
         JOIN LATERAL (SELECT * FROM attempts WHERE message_id = m.id ORDER BY number LIMIT 1) t ON true
    WHERE m.workspace_id = $1 AND m.id = $2 AND t.worker_id = t.provider_id"""

# Sealed settings of all workspaces, removed providers' too, in the order of their ids. NO KEY, because accepting a
# caught mail refers to the row meanwhile. $1 the id to begin behind, $2 how many.
SEALED = """
    SELECT p.id, p.name, p.config, w.name AS workspace FROM providers p JOIN workspaces w ON w.id = p.workspace_id
    WHERE p.id > $1 AND p.config <> '' ORDER BY p.id LIMIT $2 FOR NO KEY UPDATE OF p"""

HOW_MANY_SEALED = "SELECT count(*) FROM providers WHERE config <> ''"

# The same settings under another key: no change that a version counts. $1 uuid[] ids, $2 bytea[] as they were read,
# $3 bytea[] as they are now.
RESEAL = """
    UPDATE providers p SET config = n.config FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS n (id, was, config)
    WHERE p.id = n.id AND p.config = n.was"""
