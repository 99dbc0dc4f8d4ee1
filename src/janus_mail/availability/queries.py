"""The SQL of who may be asked: providers, circuits, quotas."""

# In route order, those that are off or removed too. $1 workspace.
PROVIDERS = """
    SELECT p.id, p.workspace_id, p.kind, p.name, p.enabled, p.position, p.sandbox, p.sandbox_mode,
           p.sandbox_failure_rate, p.from_environment,
           coalesce(p.from_email, w.from_email) AS from_email,
           CASE WHEN p.from_email IS NULL THEN w.from_name ELSE p.from_name END AS from_name,
           p.sender_domains, p.rate_per_second, p.daily_quota, p.config, p.version, p.deleted_at IS NOT NULL AS removed
    FROM providers p JOIN workspaces w ON w.id = p.workspace_id
    WHERE p.workspace_id = $1
    ORDER BY p.position, p.id
"""

# The kinds that have more to load than others may be among these.
KINDS_IN_USE = "SELECT DISTINCT kind FROM providers WHERE NOT sandbox AND enabled AND deleted_at IS NULL"

# -- Circuits. A row that is not there is closed and has the number 0.

_CIRCUIT = """
    SELECT workspace_id, provider_id, sender_domain, state, number, trips, reason,
           extract(epoch FROM until - clock_timestamp())::float8 AS rest_s
    FROM circuits"""

CIRCUITS = f"{_CIRCUIT} WHERE workspace_id = $1"

CIRCUIT = f"{_CIRCUIT} WHERE provider_id = $1 AND sender_domain = $2"

# Change one and write the incident, if nobody was faster. A provider at the edge of its rate asks for a rest every few
# seconds: within ten minutes that is one incident, and the changes that follow an unwritten one are not written either.
# $1 provider, $2 sender domain, $3 workspace, $4 state,
# $5 the number that was seen (null: whatever it is), $6 trips, $7 for how many seconds (null: no end), $8 reason,
# $9 cause, $10 actor, $11 id of the incident. Answers the circuit as it is now, or nothing.
MOVE_CIRCUIT = """
    WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
    moved AS (
        INSERT INTO circuits AS c
            (provider_id, sender_domain, workspace_id, state, number, trips, reason, since, until)
        SELECT $1, $2, $3, $4, 1, $6, $8, clock.now, clock.now + $7::float8 * interval '1 second' FROM clock
        ON CONFLICT (provider_id, sender_domain) DO UPDATE
        SET state = excluded.state, number = c.number + 1, trips = excluded.trips, reason = excluded.reason,
            since = CASE WHEN (c.state = 'closed') = (excluded.state = 'closed') THEN c.since ELSE excluded.since END,
            until = excluded.until
        WHERE $5::int IS NULL OR c.number = $5
        RETURNING c.*
    ),
    noted AS (
        INSERT INTO provider_incidents
            (id, workspace_id, provider_id, sender_domain, number, state, cause, reason, actor, at, until)
        SELECT $11, workspace_id, provider_id, sender_domain, number, state, $9, reason, $10, clock.now,
               until
        FROM moved, clock
        WHERE (state = 'open' AND $9 <> 'throttled')
           OR EXISTS (
               SELECT FROM provider_incidents before
               WHERE before.provider_id = $1 AND before.sender_domain = $2 AND before.number = moved.number - 1
                 AND before.state <> 'closed')
           OR (state = 'open' AND NOT EXISTS (
               SELECT FROM provider_incidents lately
               WHERE lately.provider_id = $1 AND lately.sender_domain = $2 AND lately.cause = 'throttled'
                 AND lately.at > clock.now - interval '10 minutes'))
           OR (state <> 'open' AND $9 IN ('person', 'changed'))
    )
    SELECT workspace_id, provider_id, sender_domain, state, number, trips, reason, $7::float8 AS rest_s FROM moved
"""

# What is not closed of one provider. $1 workspace, $2 provider.
NOT_CLOSED = """
    SELECT sender_domain, until IS NULL AS by_hand FROM circuits
    WHERE workspace_id = $1 AND provider_id = $2 AND state <> 'closed'
    ORDER BY sender_domain FOR UPDATE
"""

# -- Quotas. A day is one in UTC, by the clock of the database.

# All of the block or nothing: `reserved` tells which, `used` what was used before this statement.
# $1 provider, $2 workspace, $3 block, $4 daily quota.
RESERVE_QUOTA = """
    WITH clock AS MATERIALIZED (SELECT clock_timestamp() AT TIME ZONE 'UTC' AS now),
    reserved AS (
        INSERT INTO provider_usage AS u (provider_id, day, workspace_id, used)
        SELECT $1, now::date, $2, $3::int FROM clock WHERE $3 <= $4::int
        ON CONFLICT (provider_id, day) DO UPDATE SET used = u.used + excluded.used
        WHERE u.used + excluded.used <= $4
        RETURNING 1
    )
    SELECT now::date AS day, extract(epoch FROM now::date + 1 - now)::float8 AS left_s,
           EXISTS (SELECT FROM reserved) AS reserved,
           coalesce((SELECT used FROM provider_usage WHERE provider_id = $1 AND day = now::date), 0) AS used
    FROM clock
"""

# $1 provider, $2 workspace, $3 day, $4 how many.
RETURN_QUOTA = """
    UPDATE provider_usage SET used = used - $4 WHERE provider_id = $1 AND workspace_id = $2 AND day = $3 AND used >= $4
"""
