"""The SQL of who calls."""

from typing import Final

WORKSPACE_CALLED: Final = "SELECT id, name FROM workspaces WHERE handle = $1"

# Who shows an access token, and what they are in its workspace now. $1 user, $2 workspace, $3 family of tokens.
PROVE_ACCESS: Final = """
    SELECT u.email, u.name, u.administrator, m.role, w.name AS workspace_name
    FROM users u JOIN memberships m ON m.user_id = u.id JOIN workspaces w ON w.id = m.workspace_id
    WHERE u.id = $1 AND m.workspace_id = $2
      AND u.confirmed_at IS NOT NULL AND u.disabled_at IS NULL AND u.erased_at IS NULL
      AND EXISTS (SELECT FROM refresh_tokens r WHERE r.family_id = $3 AND r.user_id = u.id)
      AND NOT EXISTS (SELECT FROM refresh_tokens r WHERE r.family_id = $3 AND r.revoked_at IS NOT NULL)
"""
