"""The SQL of the tokens of people's programs."""

from typing import Final

# The workspace that is named, or the first that they came into. $1 user, $2 workspace or null.
PLACE_OF: Final = """
    SELECT workspace_id, role FROM memberships
    WHERE user_id = $1 AND ($2::uuid IS NULL OR workspace_id = $2)
    ORDER BY created_at, workspace_id LIMIT 1
"""

# $1 id, $2 family, $3 user, $4 workspace, $5 digest, $6 seconds that the family lasts, $7 address, $8 user agent.
BEGIN_FAMILY: Final = """
    INSERT INTO refresh_tokens (id, family_id, user_id, workspace_id, digest, expires_at, address, user_agent)
    VALUES ($1, $2, $3, $4, $5, clock_timestamp() + $6 * interval '1 second', $7, $8)
"""

# Held until the transaction ends, so that of several who come with it one exchanges it; what the others read is as that
# left it. A family ends with any of its tokens: one may have been made while it was ended. `at_the_same_time`: it was
# used after this request had come. `valid` with the role in the workspace that is asked for.
# $1 digest, $2 workspace or null for the token's, $3 seconds from the request's coming to the transaction's begin.
HOLD_REFRESH: Final = """
    SELECT r.id, r.family_id, r.user_id, r.user_agent, r.address, u.email, u.name, m.role,
           m.workspace_id AS place_id, r.used_at IS NOT NULL AS used,
           r.used_at > now() - $3::float8 * interval '1 second' AS at_the_same_time,
           r.revoked_at IS NULL AND r.expires_at > clock_timestamp() AND m.role IS NOT NULL
               AND u.confirmed_at IS NOT NULL AND u.disabled_at IS NULL AND u.erased_at IS NULL
               AND NOT EXISTS (SELECT FROM refresh_tokens kin WHERE kin.family_id = r.family_id
                               AND kin.revoked_at IS NOT NULL) AS valid,
           greatest(extract(epoch FROM r.expires_at - clock_timestamp()), 0)::int AS left_s
    FROM refresh_tokens r JOIN users u ON u.id = r.user_id
         LEFT JOIN memberships m ON m.user_id = r.user_id AND m.workspace_id = coalesce($2::uuid, r.workspace_id)
    WHERE r.digest = $1
    FOR UPDATE OF r
"""

MARK_USED: Final = "UPDATE refresh_tokens SET used_at = clock_timestamp() WHERE id = $1"

# $1 the one before, $2 id, $3 workspace, $4 digest, $5 address, $6 user agent.
NEXT_OF_FAMILY: Final = """
    INSERT INTO refresh_tokens (id, family_id, user_id, workspace_id, digest, begun_at, expires_at, address, user_agent)
    SELECT $2, family_id, user_id, $3, $4, begun_at, expires_at, $5, $6 FROM refresh_tokens WHERE id = $1
"""

END_FAMILY: Final = """
    UPDATE refresh_tokens SET revoked_at = clock_timestamp()
    WHERE user_id = $1 AND family_id = $2 AND revoked_at IS NULL AND expires_at > clock_timestamp()
    RETURNING id
"""

# Who shows an access token, and what they are in its workspace now. $1 user, $2 workspace, $3 family of tokens.
PROVE_ACCESS: Final = """
    SELECT u.email, u.name, u.administrator, m.role, w.name AS workspace_name
    FROM users u JOIN memberships m ON m.user_id = u.id JOIN workspaces w ON w.id = m.workspace_id
    WHERE u.id = $1 AND m.workspace_id = $2
      AND u.confirmed_at IS NOT NULL AND u.disabled_at IS NULL AND u.erased_at IS NULL
      AND EXISTS (SELECT FROM refresh_tokens r WHERE r.family_id = $3 AND r.user_id = u.id)
      AND NOT EXISTS (SELECT FROM refresh_tokens r WHERE r.family_id = $3 AND r.revoked_at IS NOT NULL)
"""
