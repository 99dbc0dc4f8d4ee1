"""The SQL of requests that bear an Idempotency-Key. $1 is the workspace."""

# $2 a number made of workspace, route and key.
LOCK_KEY = "SELECT pg_try_advisory_xact_lock($1)"

# $2 route, $3 key, $4 how many seconds an answer is kept.
KEPT_ANSWER = """
    SELECT request_hash, resource_id, answer FROM idempotency_keys
    WHERE workspace_id = $1 AND route = $2 AND key = $3
      AND created_at > clock_timestamp() - $4 * interval '1 second'
"""

# An old row under this key is over its time: a younger one would have been answered.
KEEP_ANSWER = """
    INSERT INTO idempotency_keys (workspace_id, route, key, request_hash, status, resource_id, answer)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (workspace_id, route, key) DO UPDATE
    SET request_hash = excluded.request_hash, status = excluded.status, resource_id = excluded.resource_id,
        answer = excluded.answer, created_at = clock_timestamp()
"""
