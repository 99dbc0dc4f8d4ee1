"""The SQL of what an administrator sees of accounts and workspaces."""

from typing import Final

# $1 part of the address or the name, $2 those before this id, $3 limit.
LIST_ACCOUNTS: Final = """
    SELECT u.id, u.email, u.name, u.created_at, u.confirmed_at IS NOT NULL AS confirmed,
           u.disabled_at IS NOT NULL AS disabled, u.administrator, u.totp_since IS NOT NULL AS second_factor,
           (SELECT max(s.seen_at) FROM sessions s WHERE s.user_id = u.id) AS seen_at,
           (SELECT count(*) FROM memberships m WHERE m.user_id = u.id)::int AS workspaces
    FROM users u
    WHERE u.erased_at IS NULL
      AND ($1 = '' OR strpos(lower(u.email), lower($1)) > 0 OR strpos(lower(u.name), lower($1)) > 0)
      AND ($2::uuid IS NULL OR u.id < $2)
    ORDER BY u.id DESC LIMIT $3
"""

# $1 part of the name, $2 those before this id, $3 limit.
LIST_TENANTS: Final = """
    SELECT w.id, w.name, w.created_at, w.minute_quota, w.monthly_quota,
           ARRAY(SELECT u.email FROM memberships m JOIN users u ON u.id = m.user_id
                 WHERE m.workspace_id = w.id AND m.role = 'owner' ORDER BY u.email) AS owners,
           (SELECT count(*) FROM memberships m WHERE m.workspace_id = w.id)::int AS members
    FROM workspaces w
    WHERE ($1 = '' OR strpos(lower(w.name), lower($1)) > 0) AND ($2::uuid IS NULL OR w.id < $2)
    ORDER BY w.id DESC LIMIT $3
"""
