"""The SQL of API keys, of who calls and of workspaces."""

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

INSERT_KEY: Final = """
    INSERT INTO api_keys (id, workspace_id, name, prefix, digest, scopes, expires_at)
    SELECT $1, workspace.id, $3, $4, $5, $6, $7
    FROM workspaces AS workspace
    WHERE workspace.handle = $2 OR workspace.id::text = $2
    RETURNING id
"""

LIST_KEYS: Final = """
    SELECT key.id, key.name, key.prefix, key.scopes, key.created_at, key.expires_at, key.last_used_at, key.revoked_at
    FROM api_keys AS key
    JOIN workspaces AS workspace ON workspace.id = key.workspace_id
    WHERE workspace.handle = $1 OR workspace.id::text = $1
    ORDER BY key.id DESC
"""

REVOKE_KEY: Final = """
    UPDATE api_keys AS key SET revoked_at = coalesce(key.revoked_at, clock_timestamp()), updated_at = clock_timestamp()
    FROM workspaces AS workspace
    WHERE workspace.id = key.workspace_id AND (workspace.handle = $1 OR workspace.id::text = $1) AND key.prefix = $2
    RETURNING key.id
"""

WORKSPACE_CALLED: Final = "SELECT id, name FROM workspaces WHERE handle = $1"

WORKSPACE: Final = "SELECT id, name, timezone, from_email, on_uncertain, paused_at FROM workspaces WHERE id = $1"

# Who shows an access token, and what they are in its workspace now. $1 user, $2 workspace, $3 family of tokens.
PROVE_ACCESS: Final = """
    SELECT u.email, u.name, u.administrator, m.role, w.name AS workspace_name
    FROM users u JOIN memberships m ON m.user_id = u.id JOIN workspaces w ON w.id = m.workspace_id
    WHERE u.id = $1 AND m.workspace_id = $2
      AND u.confirmed_at IS NOT NULL AND u.disabled_at IS NULL AND u.erased_at IS NULL
      AND EXISTS (SELECT FROM refresh_tokens r WHERE r.family_id = $3 AND r.user_id = u.id)
      AND NOT EXISTS (SELECT FROM refresh_tokens r WHERE r.family_id = $3 AND r.revoked_at IS NOT NULL)
"""

# $1 workspace, $2 resend | park.
SET_ON_UNCERTAIN: Final = "UPDATE workspaces SET on_uncertain = $2, updated_at = clock_timestamp() WHERE id = $1"
