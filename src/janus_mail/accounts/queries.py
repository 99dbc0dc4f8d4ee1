"""The SQL of who calls: this machine's workspace, and browsers' sessions."""

from typing import Final

WORKSPACE_CALLED: Final = "SELECT id, name FROM workspaces WHERE handle = $1"

# -- sessions

# $1 id, $2 user, $3 digest, $4 address, $5 user agent, $6 seconds that it lasts.
INSERT_SESSION: Final = """
    INSERT INTO sessions (id, user_id, digest, address, user_agent, expires_at)
    VALUES ($1, $2, $3, $4, $5, clock_timestamp() + $6 * interval '1 second')
"""

# With the workspace that it shows, else the first that its person came into. $1 digest.
PROVE_SESSION: Final = """
    SELECT s.id, s.user_id, u.email, u.name, u.administrator, place.workspace_id, place.role,
           place.name AS workspace_name, s.seen_at < clock_timestamp() - interval '1 minute' AS stale
    FROM sessions s
         JOIN users u ON u.id = s.user_id
         LEFT JOIN LATERAL (
             SELECT m.workspace_id, m.role, w.name
             FROM memberships m JOIN workspaces w ON w.id = m.workspace_id
             WHERE m.user_id = s.user_id
             ORDER BY (m.workspace_id = s.workspace_id) DESC NULLS LAST, m.created_at, m.workspace_id LIMIT 1) place
             ON true
    WHERE s.digest = $1 AND s.revoked_at IS NULL AND s.expires_at > clock_timestamp()
      AND u.confirmed_at IS NOT NULL AND u.disabled_at IS NULL AND u.erased_at IS NULL
"""

TOUCH_SESSION: Final = """
    UPDATE sessions SET seen_at = clock_timestamp()
    WHERE id = $1 AND seen_at < clock_timestamp() - interval '1 minute'
"""

# $1 user, $2 session.
REVOKE_SESSION: Final = """
    UPDATE sessions SET revoked_at = clock_timestamp()
    WHERE user_id = $1 AND id = $2 AND revoked_at IS NULL
    RETURNING id
"""
