"""The SQL of API keys."""

from typing import Final

# «stale»: its last use is to be noted again, by the database's clock.
KEYS_BY_PREFIX: Final = """
    SELECT key.prefix, key.id, key.name, key.digest, key.scopes, key.rate_limit, key.workspace_id,
           workspace.name AS workspace_name,
           key.revoked_at IS NULL AND (key.expires_at IS NULL OR key.expires_at > clock_timestamp()) AS valid,
           key.last_used_at IS NULL OR key.last_used_at < clock_timestamp() - interval '1 minute' AS stale
    FROM api_keys AS key
    JOIN workspaces AS workspace ON workspace.id = key.workspace_id
    WHERE key.prefix = ANY($1::text[])
"""

# Again the condition: of several requests at once, one writes.
TOUCH_KEY: Final = """
    UPDATE api_keys SET last_used_at = clock_timestamp()
    WHERE workspace_id = $1 AND id = $2
      AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '1 minute')
"""

# By handle or id, as commands call it.
WORKSPACE_CALLED: Final = "SELECT id FROM workspaces WHERE handle = $1 OR id::text = $1"

# Makers take turns, so that no workspace is over its limit. $1 workspace.
LOCK_WORKSPACE: Final = "SELECT FROM workspaces WHERE id = $1 FOR NO KEY UPDATE"

# $1 workspace.
COUNT_KEYS: Final = """
    SELECT count(*) FROM api_keys
    WHERE workspace_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
"""

# $1 id, $2 workspace, $3 name, $4 prefix, $5 digest, $6 scopes, $7 expires_at, $8 rate_limit, $9 created_by.
INSERT_KEY: Final = """
    INSERT INTO api_keys (id, workspace_id, name, prefix, digest, scopes, expires_at, rate_limit, created_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""

_SHOWN: Final = """
    SELECT id, name, prefix, scopes, rate_limit, created_at, created_by, expires_at, last_used_at, revoked_at,
           successor_id,
           CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= clock_timestamp() THEN 'expired'
                ELSE 'active' END AS status
    FROM api_keys
"""

# Those that are over are shown for some days more. $1 workspace, $2 below this id (null: the newest), $3 limit
# (null: none), $4 days.
LIST_KEYS: Final = f"""{_SHOWN}
    WHERE workspace_id = $1 AND ($2::uuid IS NULL OR id < $2)
      AND least(revoked_at, expires_at, 'infinity') > clock_timestamp() - $4::int * interval '1 day'
    ORDER BY id DESC LIMIT $3
"""

# $1 workspace, $2 key.
KEY: Final = f"{_SHOWN} WHERE workspace_id = $1 AND id = $2"
KEY_TO_CHANGE: Final = f"{KEY} FOR NO KEY UPDATE"

# $1 workspace, $2 prefix.
KEY_CALLED: Final = "SELECT id FROM api_keys WHERE workspace_id = $1 AND prefix = $2"

# $1 workspace, $2 key, $3 name, $4 requests a minute.
UPDATE_KEY: Final = """
    UPDATE api_keys SET name = $3, rate_limit = $4, updated_at = clock_timestamp() WHERE workspace_id = $1 AND id = $2
"""
REVOKE_KEY: Final = """
    UPDATE api_keys SET revoked_at = clock_timestamp(), updated_at = clock_timestamp()
    WHERE workspace_id = $1 AND id = $2 AND revoked_at IS NULL
    RETURNING id
"""

# It expires after the overlap, unless it did before. $1 workspace, $2 key, $3 successor, $4 hours.
SUCCEED_KEY: Final = """
    UPDATE api_keys
    SET successor_id = $3, updated_at = clock_timestamp(),
        expires_at = least(expires_at, clock_timestamp() + $4::int * interval '1 hour')
    WHERE workspace_id = $1 AND id = $2
"""

# When a key of the same age is to end; null: never. $1 workspace, $2 key.
SAME_SPAN: Final = """
    SELECT clock_timestamp() + (expires_at - created_at) FROM api_keys WHERE workspace_id = $1 AND id = $2
"""
