"""The SQL of workspaces, of who is in them and of who is invited. A change begins with LOCK_WORKSPACE."""

from typing import Final

# Whoever changes members, invitations or settings holds the row: «the last owner» is decided one change at a time.
# NO KEY, because accepting an event refers to the row meanwhile.
LOCK_WORKSPACE: Final = "SELECT id, handle, name FROM workspaces WHERE id = $1 FOR NO KEY UPDATE"

_SETTINGS: Final = """
    id, handle, name, timezone, language, from_email, from_name, allowed_senders, on_uncertain, retention_days,
    minute_quota, monthly_quota, paused_at
"""
WORKSPACE: Final = f"SELECT {_SETTINGS} FROM workspaces WHERE id = $1"  # noqa: S608
WORKSPACE_TO_CHANGE: Final = f"{WORKSPACE} FOR NO KEY UPDATE"

# $1 workspace and everything that a patch may change.
UPDATE_WORKSPACE: Final = """
    UPDATE workspaces
    SET name = $2, timezone = $3, language = $4, from_email = $5, from_name = $6, allowed_senders = $7,
        on_uncertain = $8, retention_days = $9, updated_at = clock_timestamp()
    WHERE id = $1
"""

# $1 id, $2 name, $3 zone, $4 sender.
INSERT_WORKSPACE: Final = "INSERT INTO workspaces (id, name, timezone, from_email) VALUES ($1, $2, $3, $4)"

# -- whose they are

# One person's steps into workspaces take turns, so that none is over the limit. $1 user.
LOCK_PERSON: Final = "SELECT FROM users WHERE id = $1 AND erased_at IS NULL FOR NO KEY UPDATE"
COUNT_PLACES: Final = "SELECT count(*) FROM memberships WHERE user_id = $1"

# $1 user.
PLACES: Final = """
    SELECT w.id, w.name, m.role FROM memberships m JOIN workspaces w ON w.id = m.workspace_id
    WHERE m.user_id = $1
    ORDER BY lower(w.name), w.id
"""

# Only where they are. $1 session, $2 user, $3 workspace.
SWITCH: Final = """
    UPDATE sessions SET workspace_id = $3
    WHERE id = $1 AND user_id = $2
      AND EXISTS (SELECT FROM memberships m WHERE m.workspace_id = $3 AND m.user_id = $2)
    RETURNING id
"""

# -- members

_MEMBER: Final = """
    SELECT m.user_id, u.email, u.name, m.role, m.created_at AS since
    FROM memberships m JOIN users u ON u.id = m.user_id
"""
# $1 workspace, $2 below this user (null: the newest), $3 limit (null: none).
MEMBERS: Final = f"""{_MEMBER}
    WHERE m.workspace_id = $1 AND ($2::uuid IS NULL OR m.user_id < $2) ORDER BY m.user_id DESC LIMIT $3
"""
MEMBER: Final = f"{_MEMBER} WHERE m.workspace_id = $1 AND m.user_id = $2"
ROLE: Final = "SELECT role FROM memberships WHERE workspace_id = $1 AND user_id = $2"

# $1 workspace, $2 user, $3 role. None where they are in it already.
INSERT_MEMBER: Final = """
    INSERT INTO memberships (workspace_id, user_id, role) VALUES ($1, $2, $3)
    ON CONFLICT (workspace_id, user_id) DO NOTHING RETURNING user_id
"""
SET_ROLE: Final = "UPDATE memberships SET role = $3 WHERE workspace_id = $1 AND user_id = $2"
DELETE_MEMBER: Final = "DELETE FROM memberships WHERE workspace_id = $1 AND user_id = $2"

# One who can sign in. $1 workspace.
HAS_OWNER: Final = """
    SELECT EXISTS (SELECT FROM memberships m JOIN users u ON u.id = m.user_id
                   WHERE m.workspace_id = $1 AND m.role = 'owner' AND u.disabled_at IS NULL AND u.erased_at IS NULL)
"""

# What programs hold for somebody in this workspace; those that have gone on to another of theirs live on there.
# $1 workspace, $2 user.
REVOKE_TOKENS: Final = """
    UPDATE refresh_tokens SET revoked_at = clock_timestamp()
    WHERE workspace_id = $1 AND user_id = $2 AND revoked_at IS NULL AND used_at IS NULL
"""

# -- deletion, a little at a time. $1 workspace, $2 at most so many.

DELETE_MESSAGES: Final = """
    WITH gone AS (
        DELETE FROM messages WHERE id = ANY(ARRAY(
            SELECT id FROM messages WHERE workspace_id = $1 ORDER BY id LIMIT $2)) RETURNING 1
    )
    SELECT count(*)::int FROM gone
"""
DELETE_EVENTS: Final = """
    WITH gone AS (
        DELETE FROM events WHERE id = ANY(ARRAY(
            SELECT id FROM events WHERE workspace_id = $1 ORDER BY id LIMIT $2)) RETURNING 1
    )
    SELECT count(*)::int FROM gone
"""
# What no foreign key takes away. $1 workspace.
DELETE_LOOSE: Final = (
    "DELETE FROM event_dirty WHERE workspace_id = $1",
    "DELETE FROM hook_posts WHERE workspace_id = $1",
)
DELETE_WORKSPACE: Final = "DELETE FROM workspaces WHERE id = $1"

# -- for whoever runs the server: the only statements that look into all workspaces

_SUPERVISED: Final = """
    SELECT w.id, w.name, w.minute_quota, w.monthly_quota, w.paused_at, w.created_at,
           (SELECT count(*)::int FROM memberships m WHERE m.workspace_id = w.id) AS members
    FROM workspaces w
"""
ALL_WORKSPACES: Final = f"{_SUPERVISED} ORDER BY w.created_at, w.id"

# $1 id, else handle, else name, which a team gives itself and may choose to be another's id; of several with the name
# none is meant.
WORKSPACES_CALLED: Final = f"""{_SUPERVISED}
    WHERE w.id::text = $1 OR w.handle = $1 OR w.name = $1
    ORDER BY CASE WHEN w.id::text = $1 THEN 0 WHEN w.handle = $1 THEN 1 ELSE 2 END
    FETCH FIRST ROW WITH TIES
"""
USER_CALLED: Final = """
    SELECT id FROM users WHERE lower(email) = lower($1) AND confirmed_at IS NOT NULL AND erased_at IS NULL
"""

# $1 workspace.
SET_QUOTAS: Final = """
    UPDATE workspaces SET minute_quota = $2, monthly_quota = $3, updated_at = clock_timestamp() WHERE id = $1
"""
